"""The loop under every trainer: seeds, steps, averaging, EMA, checkpoints, TensorBoard.

What happens at a step depends on (seed, step, rank) and the state alone, so a training that was
interrupted and resumed ends bit by bit as one that wasn't.
"""

from __future__ import annotations

import copy
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import MienError
from engine.files import make_folder
from training import checkpoint, parallel
from training.losses.faces import total
from training.provenance import CODE, Stage, code_hash, constants, differences, plain, seen
from training.trainers.samples import Clips

Batch = dict[str, Tensor]
Parts = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, how fast, how often. Counts are steps; ``ema`` is the share kept at each,
    ``decay`` that of the weights (AdamW)."""

    steps: int
    batch: int
    rate: float
    warm_up: int = 0
    ema: float = 0.999
    clip: float = 1.0
    save_every: int = 500
    log_every: int = 20
    pictures_every: int = 500
    loaders: int = 2
    bf16: bool = False
    decay: float = 1e-4


class Trainer(ABC):
    """One model's training. ``modules`` are trained and saved by name; those in ``averaged`` get an
    EMA, which is what is exported. A trainer only sequences; losses live in training.losses."""

    name: ClassVar[str]
    averaged: ClassVar[tuple[str, ...]]
    schedule: Schedule
    modules: dict[str, nn.Module]
    size: dict[str, Any]
    """what the modules were made with, to make them again"""
    clips: Clips
    """what is learned from, where it is clips"""
    plan: Any = None
    """a dataclass of what else was chosen for it"""
    leans_on: Mapping[str, Path] = {}
    """runs of other networks that are asked, by name"""
    began: Sequence[Stage] = ()
    """the stages of the run whose weights this one began with"""

    @abstractmethod
    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, NDArray[Any]]:
        """One batch as arrays; called from other threads, so it reads and changes nothing."""

    @abstractmethod
    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        """(module to be stepped, parts, their weights), one after another within a step."""

    @abstractmethod
    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Pictures [3, H, W] in 0..1 for TensorBoard."""

    def learned_from(self) -> dict[str, Any]:
        """The data, as a stage tells of it."""
        return seen(self.clips)

    def stage(self, command: str, step: int = 0) -> Stage:
        """What this training is, for its checkpoints. Raises MienError."""
        recipe = {
            "schedule": asdict(self.schedule),
            "size": self.size,
            "plan": plain(asdict(self.plan)) if self.plan is not None else {},
            "constants": constants(type(self)),
            "code": code_hash(*CODE),
            "began_with": [stage["command"] for stage in self.began],
            "torch": str(torch.__version__),
        }
        return {
            "command": command,
            "from_step": step,
            "data": self.learned_from(),
            "recipe": recipe,
            "leans_on": {
                name: checkpoint.load(run)["stages"] for name, run in self.leans_on.items()
            },
        }


def train(
    trainer: Trainer,
    out: Path,
    seed: int,
    device: str,
    command: str,
    say: Callable[[str], None],
    accept_changes: bool = False,
) -> Path:
    """Train until ``schedule.steps``, resuming what ``out`` holds. What was begun with other data
    or another recipe is refused unless ``accept_changes``. Raises MienError."""
    rank, world, on = parallel.begin(device)
    try:
        return _Run(trainer, out, seed, command, rank, world, on, accept_changes).go(say)
    finally:
        parallel.end()


class _Run:
    def __init__(
        self,
        trainer: Trainer,
        out: Path,
        seed: int,
        command: str,
        rank: int,
        world: int,
        device: torch.device,
        accept_changes: bool,
    ) -> None:
        self.trainer, self.out, self.seed = trainer, out, seed
        self.accept_changes = accept_changes
        self.stages = [*trainer.began, trainer.stage(command)]
        self.rank, self.world, self.device = rank, world, device
        schedule = trainer.schedule
        for module in trainer.modules.values():
            # Channels last is 1.5 to 2 times as quick for convolutions on a CPU; torch's types
            # don't know that a module can be told so without a dtype.
            module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            parallel.agree(itertools.chain(module.parameters(), module.buffers()))
        self.ema = {
            name: copy.deepcopy(trainer.modules[name]).eval().requires_grad_(False)
            for name in trainer.averaged
        }
        self.optimizers = {
            name: torch.optim.AdamW(
                module.parameters(),
                lr=schedule.rate,
                betas=(0.9, 0.99),
                weight_decay=schedule.decay,
            )
            for name, module in trainer.modules.items()
        }
        self.step = 0

    def go(self, say: Callable[[str], None]) -> Path:
        schedule, trainer = self.trainer.schedule, self.trainer
        self._resume(say)
        board = _board(self.out, say) if self.rank == 0 else None
        began_s, began_step = time.monotonic(), self.step
        path = self.out / checkpoint.LAST
        try:
            for drawn in self._batches():
                batch = {name: self._ready(array) for name, array in drawn.items()}
                torch.manual_seed(self._number(self.step))
                figures = self._advance(batch)
                self.step += 1
                if board is not None and self.step % schedule.log_every == 0:
                    for name, value in figures.items():
                        board.add_scalar(name, value, self.step)
                if self.rank == 0 and self.step % schedule.log_every == 0:
                    each_s = (time.monotonic() - began_s) / (self.step - began_step)
                    listed = ", ".join(f"{k} {v:.4g}" for k, v in figures.items())
                    left_min = each_s * (schedule.steps - self.step) / 60
                    say(
                        f"{trainer.name} {self.step}/{schedule.steps}: {listed} "
                        f"({each_s:.2f} s a step, {left_min:.0f} min left)"
                    )
                due = self.step % schedule.pictures_every == 0 or self.step == schedule.steps
                if board is not None and due:
                    with torch.no_grad():
                        for name, picture in trainer.pictures(batch, self.ema).items():
                            board.add_image(name, picture.clamp(0, 1).cpu(), self.step)
                if self.step % schedule.save_every == 0 or self.step == schedule.steps:
                    self._save()
        finally:
            if board is not None:
                board.close()
        return path

    def _advance(self, batch: Batch) -> dict[str, float]:
        schedule, trainer = self.trainer.schedule, self.trainer
        for module in trainer.modules.values():
            module.train()
        warm = min(1.0, (self.step + 1) / max(1, schedule.warm_up))
        left = 1 - self.step / schedule.steps
        rate = schedule.rate * warm * (0.05 + 0.95 * left)
        figures: dict[str, float] = {}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=schedule.bf16):
            turns = trainer.losses(batch, self.step)
            for goal, parts, weights in turns:
                with torch.autocast(self.device.type, enabled=False):
                    self._turn(goal, total(parts, weights), rate)
                figures |= {name: float(part.detach()) for name, part in parts.items()}
        wrong = [name for name, value in figures.items() if not np.isfinite(value)]
        if wrong:
            raise MienError(
                f"step {self.step}: {', '.join(wrong)} is no number any more; "
                f"resume from {self.out} with a smaller rate"
            )
        keep = min(schedule.ema, (1 + self.step) / (10 + self.step))
        for name, slow in self.ema.items():
            _follow(slow, trainer.modules[name], keep)
        return figures

    def _turn(self, goal: str, loss: Tensor, rate: float) -> None:
        """One optimizer's step; modules that the goal doesn't name take no gradient."""
        optimizers = [self.optimizers[name] for name in goal.split("+")]
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
                parallel.average(parameter.grad for parameter in group["params"])
                nn.utils.clip_grad_norm_(group["params"], self.trainer.schedule.clip)
            optimizer.step()

    def _batches(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Batches from this step on, drawn ahead by a few threads, in order."""
        schedule = self.trainer.schedule
        steps = iter(range(self.step, schedule.steps))
        with ThreadPoolExecutor(max(1, schedule.loaders)) as pool:
            ahead: list[Future[Mapping[str, NDArray[Any]]]] = []
            for step in itertools.islice(steps, schedule.loaders + 1):
                ahead.append(pool.submit(self._draw, step))
            try:
                while ahead:
                    drawn = ahead.pop(0).result()
                    if (step := next(steps, -1)) >= 0:
                        ahead.append(pool.submit(self._draw, step))
                    yield drawn
            finally:
                for future in ahead:
                    future.cancel()

    def _ready(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(array).to(self.device)
        if tensor.ndim == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    def _draw(self, step: int) -> Mapping[str, NDArray[Any]]:
        rng = np.random.default_rng([self.seed, step, self.rank])
        return self.trainer.draw(rng, step)

    def _number(self, step: int) -> int:
        return int(np.random.default_rng([self.seed, step, self.rank, 1]).integers(1 << 62))

    def _save(self) -> None:
        for module in (*self.trainer.modules.values(), *self.ema.values()):
            parallel.average(b for b in module.buffers() if b.is_floating_point())
        if self.rank:
            return
        checkpoint.save(
            self.out,
            {
                "name": self.trainer.name,
                "step": self.step,
                "seed": self.seed,
                "world": self.world,
                "stages": self.stages,
                "size": self.trainer.size,
                "modules": {n: m.state_dict() for n, m in self.trainer.modules.items()},
                "ema": {n: m.state_dict() for n, m in self.ema.items()},
                "optimizers": {n: o.state_dict() for n, o in self.optimizers.items()},
            },
        )

    def _resume(self, say: Callable[[str], None]) -> None:
        make_folder(self.out)
        if not (self.out / checkpoint.LAST).exists():
            return
        state = checkpoint.load(self.out)
        own = (self.trainer.name, self.seed, self.world, self.trainer.size)
        if (state["name"], state["seed"], state["world"], state["size"]) != own:
            raise MienError(
                f"{self.out} holds another training ({state['name']}, seed {state['seed']}, "
                f"{state['world']} processes); resume it as it was, or give another --out"
            )
        self._continue(state)
        for name, module in self.trainer.modules.items():
            module.load_state_dict(state["modules"][name])
            self.optimizers[name].load_state_dict(state["optimizers"][name])
        for name, module in self.ema.items():
            module.load_state_dict(state["ema"][name])
        self.step = int(state["step"])
        if self.rank == 0:
            say(f"resuming {self.out} at step {self.step}")

    def _continue(self, state: dict[str, Any]) -> None:
        """Go on with the stages of a checkpoint."""
        now = self.stages[-1] | {"from_step": int(state["step"])}
        changed = differences(state["stages"][-1], now)
        if changed and not self.accept_changes:
            listed = "; ".join(changed[:4])
            raise MienError(
                f"{self.out} was begun otherwise ({listed}); resume it as it was, give another "
                "--out, or take it over with --accept-changes, which its checkpoints will tell"
            )
        self.stages = [*state["stages"], *([now] if changed else [])]


def _follow(slow: nn.Module, fast: nn.Module, keep: float) -> None:
    """Exponential moving average of parameters; buffers that count are copied."""
    with torch.no_grad():
        moved = fast.state_dict()
        for name, value in slow.state_dict().items():
            if value.is_floating_point():
                value.lerp_(moved[name], 1 - keep)
            else:
                value.copy_(moved[name])


def _board(out: Path, say: Callable[[str], None]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        say("no TensorBoard (pip install tensorboard): only this log is kept")
        return None
    return SummaryWriter(str(out / "board"))
