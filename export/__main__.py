"""Export a trained network to weights/NAME: its files, its card, and the proof that they agree.

    python -m export visual    --run runs/visual --data SHARDS --to onnx openvino
    python -m export generator --run runs/generator --data SHARDS --to onnx openvino tensorrt

NAME is visual, speech, intensity, identity (of a generator's run) or generator. --data gives real
frames: to calibrate int8 with, and to compare the runtimes on. `tensorrt` builds engines for RTX
cards of three generations, on any machine, into --engines.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from export.names import NAMES
from training import command

TARGETS = ("onnx", "openvino", "tensorrt")


def main(argv: list[str] | None = None) -> int:
    """Export; the exit code: 0 done, 1 failed, 2 wrong use."""
    parser = command.parser_of("export", __doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--run", type=Path, required=True, help="the training's folder")
    parser.add_argument("--data", type=Path, required=True, help="a folder of shards")
    parser.add_argument("--to", nargs="+", choices=TARGETS, default=["onnx", "openvino"])
    parser.add_argument("--out", type=Path, default=Path("weights"), help="weights/NAME is made")
    parser.add_argument("--engines", type=Path, default=Path("build/engines"))
    parser.add_argument("--calls", type=int, default=128, help="calls to calibrate with")
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments)
    return command.run("export", lambda: run(options, shlex.join(arguments)))


def run(options: argparse.Namespace, arguments: str) -> None:
    """Export. Raises MienError."""
    from export.make import export

    export(options, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
