"""Train one model.

    python -m training.train visual    --config full --data SHARDS --out runs/visual
    python -m training.train speech    --config full --data SHARDS --out runs/speech
    python -m training.train intensity --config full --data SHARDS --out runs/intensity \\
        --visual runs/visual --speech runs/speech
    python -m training.train skin      --config full --data FACES --out runs/skin
    python -m training.train skin --help

SHARDS is a folder of prepared clips, FACES one of photographs, EMOTION/PERSON_SESSION.jpg.
`--config debug` is a tiny network and a few steps: it takes seconds on a CPU. Every figure of a
recipe can be given (`--schedule.lr 3e-4`); NAME --help lists them.
The same command again resumes where it stopped; with other data or another recipe it is refused.
On several GPUs:
    torchrun --nproc-per-node 4 -m training.train ...
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine import terminal
from engine.errors import MienError, UsageError, words
from training import command, recipes

if TYPE_CHECKING:
    from training.loop import Trainer


def main(argv: list[str] | None = None) -> int:
    """Train; the exit code: 0 done, 1 failed, 2 wrong use."""
    terminal.say_any_sign()
    arguments = sys.argv[1:] if argv is None else argv
    called = command.called("training.train")
    if not arguments or arguments[0] in ("-h", "--help"):
        text = (__doc__ or "").replace("python -m training.train", called)
        print(f"usage: {called} NAME [OPTIONS]\n\n{text}\nNAME: {_names()}")
        return 0 if arguments else 2
    return command.run(
        "train",
        lambda: run(arguments, f"{called} {shlex.join(arguments)}"),
        "stopped; the same command resumes it",
    )


def run(arguments: list[str], made_by: str) -> None:
    """Train; ``made_by`` is the command that does. Raises MienError."""
    name, called = arguments[0], command.called("training.train")
    if name.startswith("-"):
        raise UsageError(f"the network's name comes first: {_names()}")
    kind = recipes.recipe(name)
    from training.options import parse

    options = parse(kind, arguments[1:], f"{called} {name}")
    import torch

    from training.running import train

    first = int(os.environ.get("RANK", 0)) == 0

    def log(line: str) -> None:
        if first:
            print(line, flush=True)

    where = options.where
    try:
        options.recipe.build()
    except (ValueError, RuntimeError, AssertionError, ZeroDivisionError) as error:
        raise UsageError(f"no network of this size can be made ({words(error)})") from None
    torch.manual_seed(where.seed)
    trainer = options.recipe.trainer(where.data, options.runs)
    if where.start:
        start(trainer, where.start)
    path = train(
        trainer,
        where.out,
        where.seed,
        where.device,
        made_by,
        log,
        where.accept_changes,
        where.profile,
    )
    log(f"trained: {path}")


def _names() -> str:
    return f"{', '.join(recipes.known())}, or module:Class"


def start(trainer: Trainer, run: Path) -> None:
    """Give a trainer the weights of a run. Raises MienError."""
    from training import checkpoint

    state = checkpoint.load(run)
    if (state["name"], state["size"]) != (trainer.name, trainer.size):
        raise MienError(f"{run} holds {state['name']} {state['size']}, not {trainer.size}")
    for name in trainer.averaged:
        trainer.modules[name].load_state_dict(state["ema"][name])
    trainer.began = state["stages"]


if __name__ == "__main__":
    raise SystemExit(main())
