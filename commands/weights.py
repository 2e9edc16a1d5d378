"""--weights: which set of weights a command uses, it and the processes that it starts."""

from __future__ import annotations

import argparse
import os

from inference.weight_sets import VARIABLE, folder_of, terms


def add_weights(parser: argparse.ArgumentParser) -> None:
    """The --weights option, for every command that loads weights."""
    parser.add_argument(
        "--weights",
        default="",
        metavar="SET|FOLDER",
        help=f"networks: default, clean (made without research data) or a folder; else ${VARIABLE}",
    )


def use_weights(options: argparse.Namespace) -> str:
    """Take those that were asked for; in one line, which they are and what they permit. Raises
    MienError where there are none."""
    if options.weights:
        os.environ[VARIABLE] = str(folder_of(options.weights).resolve())
    return f"weights {terms()}"
