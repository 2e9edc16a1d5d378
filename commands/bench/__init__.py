"""Measure this machine: what a hop costs, what a live user sees, how fast files go.

Every benchmark prints the hardware, the versions and the settings that it ran with, and writes
them with the figures to --json. docs/benchmarks.md says how each thing is measured.

Examples:
  run_engine.py bench hop --peers                     the engine's edge against three others
  run_engine.py bench live --seconds 60 --peers       a real Chromium is the user
  run_engine.py bench live --seconds 1800 --json soak.json      the soak
  run_engine.py bench file --input talk.mp4
  run_engine.py bench voice --portrait face.jpg --voice talk.wav
  run_engine.py bench governor --plot governor.svg   cores loaded in steps
  run_engine.py bench sessions --counts 1,2,4,8       how many people fit on this machine
  run_engine.py bench models
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from commands.numbers import within
from commands.weights import add_weights, use_weights
from engine.program import as_called

SECTIONS = {
    "hop": "pictures between two processes: latency, throughput, CPU",
    "live": "camera to screen through a real browser: latency, frame rate, drift of the sound",
    "file": "a file through the graph: real-time factor, cost per node",
    "voice": "a voice that makes a picture talk: voice to picture, frame rate, CPU",
    "governor": "cores loaded in steps: what is done without, what rate and age hold",
    "sessions": "how many people fit: sessions of serve, called by synthetic people",
    "models": "the networks: ms on every runtime that is here, cold and warm",
}
UNLEARNED = ("hop",)
"""what needs no weights"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sections = parser.add_subparsers(dest="section", metavar="WHAT", required=True)
    for name, summary in SECTIONS.items():
        module = importlib.import_module(f"commands.bench.{name}")
        section = sections.add_parser(
            name,
            help=summary,
            description=as_called(module.__doc__),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        section.add_argument(
            "--seconds",
            type=within(float, 1e-3, 1e6),
            default=module.SECONDS,
            help=f"how long to measure (default {module.SECONDS:g})",
        )
        section.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
        if name not in UNLEARNED:
            add_weights(section)
        module.add_arguments(section)


def run(options: argparse.Namespace) -> int:
    if options.section not in UNLEARNED:
        use_weights(options)
    return int(importlib.import_module(f"commands.bench.{options.section}").run(options))
