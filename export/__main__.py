"""Export a trained network to weights/NAME: its files, its card, and the proof that they agree.

    python -m export visual --run runs/visual --data SHARDS --to onnx openvino
    python -m export skin   --run runs/skin --data FACES --to onnx openvino tensorrt
    python -m export skin   --again --data FACES

NAME has a recipe in training/recipes/. --data gives real frames, and to skin photographs,
EMOTION/PERSON_SESSION.jpg: to calibrate int8 with, and, of other people (the splits val and test,
or a third), to compare the runtimes on. skin is calibrated on edits of all kinds and compared by
emotion, on the face.
`tensorrt` builds engines for RTX cards of three generations, on any machine, into --engines.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from training import command, recipes

PRECISIONS = ("f32", "bf16", "int8")
TARGETS = ("onnx", "openvino", "tensorrt")


def main(argv: list[str] | None = None) -> int:
    """Export; the exit code: 0 done, 1 failed, 2 wrong use."""
    parser = command.parser_of("export", __doc__)
    parser.add_argument("name", help=f"{', '.join(recipes.known())}, or module:Class")
    made_of = parser.add_mutually_exclusive_group(required=True)
    made_of.add_argument(
        "--run", type=Path, help="a training's folder (its last.pt), or a checkpoint"
    )
    made_of.add_argument(
        "--again", action="store_true", help="calibrate OUT/NAME anew; its float32 stays as it is"
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="a folder of shards or photographs"
    )
    parser.add_argument("--to", nargs="+", choices=TARGETS, default=["onnx", "openvino"])
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of OpenVINO on a CPU; default: the recipe's, where that is good enough",
    )
    parser.add_argument("--out", type=Path, default=Path("weights"), help="weights/NAME is made")
    parser.add_argument("--engines", type=Path, default=Path("build/engines"))
    parser.add_argument("--calls", type=int, default=128, help="calls to calibrate with")
    parser.add_argument("--edits", type=int, default=360, help="to compare skin on")
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments)
    return command.run("export", lambda: run(options, shlex.join(arguments)))


def run(options: argparse.Namespace, arguments: str) -> None:
    """Export. Raises MienError."""
    from export.make import export

    export(options, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
