"""What two processes do in a test: train a network, then two networks against each other, which
is interrupted and resumed.

torchrun --nproc-per-node 2 -m tests.training.models.both FOLDER ARGUMENTS-OF-A-TRAINING
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from engine import signals
from training import checkpoint, parallel, running
from training.loop import Trainer
from training.recipe import Schedule
from training.recipes.skin import Skin
from training.train import main

BATCH: Final = 16
"""samples of a step, of all processes"""
WIDTH: Final = 5


class Game(Trainer):
    """A player answers, a judge says how well; part of the judge is asked in its own turn alone."""

    averaged = ("player",)

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(replace(Skin.debug(), schedule=schedule))
        torch.manual_seed(3)
        player = nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Linear(8, WIDTH))
        judge = nn.ModuleDict({"sees": nn.Linear(WIDTH, 4), "knows": nn.Linear(4, 1)})
        self.modules = {"player": player, "judge": judge}
        self.drawn: Counter[int] = Counter()

    def draw(self, rng: Any, step: int) -> Any:
        """This process's part of what a step has, whoever trains."""
        batch, accumulate = self.recipe.schedule.batch, self.recipe.schedule.accumulate
        place = int(os.environ.get("RANK", 0)) * accumulate + self.drawn[step]
        self.drawn[step] += 1
        every = np.random.default_rng(step).normal(size=(BATCH, WIDTH)).astype(np.float32)
        return {"x": every[place * batch : (place + 1) * batch]}

    def losses(self, batch: Any, step: int) -> Any:
        player: Any = self.modules["player"]
        judge: Any = self.modules["judge"]
        answer = player(batch["x"])
        liked = judge["sees"](answer).square().mean()
        yield "player", {"near": (answer - batch["x"]).square().mean(), "liked": liked}, WEIGHTS
        sure = judge["knows"](judge["sees"](answer.detach()).tanh())
        yield "judge", {"sure": (sure - 1).square().mean()}, WEIGHTS

    def learned_from(self) -> dict[str, Any]:
        return {}


WEIGHTS: Final = {"near": 1.0, "liked": 0.5, "sure": 1.0}


def play(out: Path, batch: int, accumulate: int, bf16: bool) -> None:
    """Four steps of a game, in the processes there are."""
    schedule = Schedule(
        steps=4, batch=batch, accumulate=accumulate, lr=0.01, ema_decay=0.5, bf16=bf16
    )
    running.train(Game(schedule), out, 0, "cpu", "made", lambda line: None)


def _interrupted(run: running.Run, drawn: Any) -> Any:
    if run.step == run.rank == 1 and run.out not in _stopped:
        _stopped.add(run.out)
        signal.raise_signal(signal.SIGTERM)  # of one process alone
    return _ready(run, drawn)


def _checked(run: running.Run, name: str = checkpoint.LAST, agreed: bool = True) -> None:
    _save(run, name, agreed)
    if name != checkpoint.LAST:
        return  # the best one is the first process's alone
    own = torch.cat([p.detach().flatten() for slow in run.ema.values() for p in slow.parameters()])
    mean = own.clone()
    parallel.average(run.fabric, [mean])
    assert torch.allclose(own, mean, atol=1e-6), "the processes differ"


if __name__ == "__main__":
    torch.set_num_threads(1)
    _save, end = running.Run._save, parallel.end
    running.Run._save = _checked  # type: ignore[assignment, method-assign]
    parallel.end = lambda: None  # one group for all trainings
    assert main(sys.argv[2:]) == 0
    _stopped = set[Path]()
    _ready = running.Run._ready
    running.Run._ready = _interrupted  # type: ignore[assignment, method-assign]
    for name, bf16 in (("32", False), ("bf16", True)):
        out = Path(sys.argv[1]) / f"two-{name}"
        with contextlib.suppress(KeyboardInterrupt), signals.as_interrupt():
            play(out, BATCH // 4, 2, bf16)
        torch.distributed.barrier()
        assert checkpoint.load(out)["step"] == 2
        play(out, BATCH // 4, 2, bf16)
    end()
