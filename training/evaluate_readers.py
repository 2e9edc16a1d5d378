"""How well faces and voices are read, of people who weren't learned from.

    python -m training.evaluate_readers visual --data SHARDS --of pictures --out runs/cv-visual
    python -m training.evaluate_readers speech --data SHARDS --of emodb ravdess --folds 8 \\
        --out runs/cv-speech
    python -m training.evaluate_readers intensity --data HEADS --split test \\
        --visual runs/visual --speech runs/speech --intensity runs/intensity

visual and speech are cross-validated: the people of the sources --of are divided into --folds (1:
nobody of them is learned from), a network is trained without each of them in turn (OUT/fold-N; one
that is there already isn't trained again) and asked about them. Others in SHARDS are always learned
from. OUT/answers.tsv holds every answer. Of voices it is asked twice: of strangers, and once the
speaker's other recordings were heard. --calibrate RUN puts what these answers say of confidence (a
temperature and a bias per emotion) into the last layer of a run that learned from everybody. Of
sources with films of people who talk calmly it also says how often these are called neutral.
intensity compares each frame of clips whose truth is known. --card puts the figures on a weight's
card, with this command, the seed and a hash of the data; the tables' names end in the sources.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from engine.errors import UsageError
from training import command


def main(argv: list[str] | None = None) -> int:
    """Evaluate; the exit code: 0 done, 1 failed, 2 wrong use."""
    parser = command.parser_of("training.evaluate_readers", __doc__)
    parser.add_argument("name", choices=("visual", "speech", "intensity"))
    parser.add_argument("--data", type=Path, required=True, help="a folder of shards")
    parser.add_argument(
        "--of", nargs="+", default=[], help="the sources whose people are asked about"
    )
    parser.add_argument("--out", type=Path, help="where folds are trained")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="+", help="these folds, to try something")
    parser.add_argument("--config", choices=("debug", "full"), default="full")
    parser.add_argument("--steps", type=int, help="train for so many steps instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--calibrate", type=Path, help="a run that learned from all: its confidence is corrected"
    )
    parser.add_argument(
        "--evenly",
        type=float,
        default=1.0,
        help="in calibration 1: emotions, 0: answers count alike",
    )
    parser.add_argument("--split", default="test", help="of intensity")
    parser.add_argument(
        "--card", type=Path, metavar="WEIGHT", help="put the figures on this weight's card"
    )
    for name in ("visual", "speech", "intensity"):
        parser.add_argument(f"--{name}", type=Path, help="a run, for intensity")
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments)
    made_by = "python -m training.evaluate_readers " + shlex.join(arguments)
    return command.run(
        "evaluate_readers", lambda: run(options, made_by), "stopped; trained folds are kept"
    )


def run(options: argparse.Namespace, made_by: str) -> None:
    """Print the verdict. Raises MienError."""
    if not 0 <= options.evenly <= 1:
        raise UsageError(f"--evenly is between 0 and 1, not {options.evenly}")
    from training.evaluation import on_card

    if options.card:
        on_card.of(options.card, options.name)
        if options.only:
            raise UsageError("--card needs all folds: leave --only out")
    from training.evaluation.cross_validation import cross_validate
    from training.evaluation.intensities import intensities

    found = (
        intensities(options) if options.name == "intensity" else cross_validate(options, made_by)
    )
    print("\n".join(found.lines))
    if options.card:
        for table, figures in found.tables.items():
            name = "_".join([table, *options.of])
            on_card.put(options.card, name, figures, made_by, options.seed, options.data)
        print(f"on its card: {options.card}")


if __name__ == "__main__":
    raise SystemExit(main())
