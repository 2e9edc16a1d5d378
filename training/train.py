"""Train one model.

    python -m training.train visual    --config full --data SHARDS --out runs/visual
    python -m training.train speech    --config full --data SHARDS --out runs/speech
    python -m training.train intensity --config full --data SHARDS --out runs/intensity \\
        --visual runs/visual --speech runs/speech
    python -m training.train skin      --config full --data FACES --out runs/skin

SHARDS is a folder of prepared clips, FACES one of photographs, EMOTION/PERSON_SESSION.jpg.
The same command again resumes where it stopped; with other data or another recipe it is refused.
On several GPUs:
    torchrun --nproc-per-node 4 -m training.train ...
`--config debug` is a tiny network and a few steps: it takes seconds on a CPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import MienError, UsageError
from training import command, recipes

if TYPE_CHECKING:
    from training.loop import Trainer


def main(argv: list[str] | None = None) -> int:
    """Train; the exit code: 0 done, 1 failed, 2 wrong use."""
    parser = command.parser_of("training.train", __doc__)
    parser.add_argument("name", help=f"{', '.join(recipes.known())}, or module:Class")
    parser.add_argument("--config", choices=("debug", "full"), default="debug")
    parser.add_argument(
        "--data", type=Path, required=True, help="a folder of shards or photographs"
    )
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--visual", type=Path, help="a trained visual encoder's run")
    parser.add_argument("--speech", type=Path, help="a trained speech encoder's run")
    parser.add_argument("--start", type=Path, help="begin with the weights of this run")
    parser.add_argument(
        "--without-fold", default="", metavar="K/N", help="skin: leave every Nth person out"
    )
    parser.add_argument("--steps", type=int, help="train for so many steps instead")
    parser.add_argument("--batch", type=int, help="so many samples a step and process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="resume although data or recipe aren't those that the run began with",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments)
    return command.run(
        "train",
        lambda: run(options, f"{command.called('training.train')} {shlex.join(arguments)}"),
        f"stopped; the same command resumes {options.out}",
    )


def run(options: argparse.Namespace, made_by: str) -> None:
    """Train; ``made_by`` is the command that does. Raises MienError."""
    import torch

    from training.loop import train

    first = int(os.environ.get("RANK", 0)) == 0

    def say(line: str) -> None:
        if first:
            print(line, flush=True)

    torch.manual_seed(options.seed)
    trainer = make(options)
    if options.start:
        start(trainer, options.start)
    path = train(
        trainer, options.out, options.seed, options.device, made_by, say, options.accept_changes
    )
    say(f"trained: {path}")


def make(options: argparse.Namespace) -> Trainer:
    """The trainer that was asked for. Raises MienError."""
    kind = recipes.recipe(options.name)
    runs = {name: getattr(options, name) for name in kind.leans_on}
    if lacking := [f"--{name} RUN" for name, run in runs.items() if run is None]:
        raise UsageError(f"{kind.name} needs trained networks: give {' and '.join(lacking)}")
    recipe = kind.config(options.config).scheduled(steps=options.steps, batch=options.batch)
    if options.without_fold:
        plan = dataclasses.replace(recipe.plan, without_fold=options.without_fold)
        recipe = dataclasses.replace(recipe, plan=plan)
    return recipe.trainer(options.data, runs)


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
