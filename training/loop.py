"""The loop under every trainer: seeds, steps, averaging, EMA, checkpoints, TensorBoard.

What happens at a step depends on (seed, step, rank) and the state alone, so a training that was
interrupted and resumed ends bit by bit as one that wasn't.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
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
from training.provenance import CODE, Stage, code_hash, differences, plain, seen
from training.recipe import Recipe
from training.trainers.samples import Clips

Batch = dict[str, Tensor]
Parts = Mapping[str, Tensor]


class Trainer(ABC):
    """One model's training, as its recipe has it. ``modules`` are trained and saved by name; those
    in ``averaged`` get an EMA, which is what is exported. A trainer only sequences; losses live in
    training.losses."""

    averaged: ClassVar[tuple[str, ...]]
    modules: dict[str, nn.Module]
    clips: Clips
    """what is learned from, where it is clips"""
    leans_on: Mapping[str, Path] = {}
    """runs of other networks that are asked, by name"""
    began: Sequence[Stage] = ()
    """the stages of the run whose weights this one began with"""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.weights: dict[str, float] = asdict(recipe.losses)
        """of the losses"""

    @property
    def name(self) -> str:
        """The network's."""
        return self.recipe.name

    @property
    def size(self) -> dict[str, Any]:
        """What the modules were made with, to make them again."""
        found: dict[str, Any] = plain(asdict(self.recipe.size))
        return found

    @abstractmethod
    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, NDArray[Any]]:
        """One batch as arrays; called from other threads, so it reads and changes nothing."""

    @abstractmethod
    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        """(group, parts, their weights), one after another within a step. A group is the modules
        to be stepped, by name, with + between them."""

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Pictures [3, H, W] in 0..1 for TensorBoard, where there are any."""
        return {}

    def learned_from(self) -> dict[str, Any]:
        """The data, as a stage tells of it."""
        return seen(self.clips)

    def stage(self, command: str, step: int = 0) -> Stage:
        """What this training is, for its checkpoints. Raises MienError."""
        file = Path(inspect.getfile(type(self.recipe)))
        recipe = {
            **plain(self.recipe.choices()),
            "code": code_hash(*CODE, str(file.resolve())),
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
    log: Callable[[str], None],
    accept_changes: bool = False,
) -> Path:
    """Train until ``schedule.steps``, resuming what ``out`` holds. What was begun with other data
    or another recipe is refused unless ``accept_changes``. Raises MienError."""
    rank, world, on = parallel.begin(device)
    try:
        return _Run(trainer, out, seed, command, rank, world, on, accept_changes).go(log)
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
        schedule = trainer.recipe.schedule
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
                lr=schedule.lr,
                betas=(0.9, 0.99),
                weight_decay=schedule.weight_decay,
            )
            for name, module in trainer.modules.items()
        }
        self.step = 0

    def go(self, log: Callable[[str], None]) -> Path:
        schedule, trainer = self.trainer.recipe.schedule, self.trainer
        self._resume(log)
        if self.rank == 0:
            log("\n".join(trainer.recipe.lines()))
        board = _board(self.out, log) if self.rank == 0 else None
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
                    log(
                        f"{trainer.name} {self.step}/{schedule.steps}: {listed} "
                        f"({each_s:.2f} s a step, {left_min:.0f} min left)"
                    )
                due = self.step % schedule.images_every == 0 or self.step == schedule.steps
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
        schedule, trainer = self.trainer.recipe.schedule, self.trainer
        for module in trainer.modules.values():
            module.train()
        warm = min(1.0, (self.step + 1) / max(1, schedule.warmup_steps))
        left = 1 - self.step / schedule.steps
        lr = schedule.lr * warm * (0.05 + 0.95 * left)
        figures: dict[str, float] = {}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=schedule.bf16):
            turns = trainer.losses(batch, self.step)
            for group, parts, weights in turns:
                with torch.autocast(self.device.type, enabled=False):
                    self._turn(group, total(parts, weights), lr)
                figures |= {name: float(part.detach()) for name, part in parts.items()}
        wrong = [name for name, value in figures.items() if not np.isfinite(value)]
        if wrong:
            raise MienError(
                f"step {self.step}: {', '.join(wrong)} is no number any more; "
                f"resume from {self.out} with a smaller lr"
            )
        keep = min(schedule.ema_decay, (1 + self.step) / (10 + self.step))
        for name, slow in self.ema.items():
            _follow(slow, trainer.modules[name], keep)
        return figures

    def _turn(self, group: str, loss: Tensor, lr: float) -> None:
        """One optimizer's step; modules that the group doesn't name take no gradient."""
        optimizers = [self.optimizers[name] for name in group.split("+")]
        schedule = self.trainer.recipe.schedule
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for optimizer in optimizers:
            for params in optimizer.param_groups:
                params["lr"] = lr
                parallel.average(parameter.grad for parameter in params["params"])
                nn.utils.clip_grad_norm_(params["params"], schedule.max_grad_norm)
            optimizer.step()

    def _batches(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Batches from this step on, drawn ahead by a few threads, in order."""
        schedule = self.trainer.recipe.schedule
        steps = iter(range(self.step, schedule.steps))
        with ThreadPoolExecutor(max(1, schedule.workers)) as pool:
            ahead: list[Future[Mapping[str, NDArray[Any]]]] = []
            for step in itertools.islice(steps, schedule.workers + 1):
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

    def _resume(self, log: Callable[[str], None]) -> None:
        make_folder(self.out)
        if not (self.out / checkpoint.LAST).exists():
            return
        state = checkpoint.load(self.out)
        own = {"name": self.trainer.name, "seed": self.seed, "world": self.world}
        own["size"] = self.trainer.size
        if other := [f"{k} {state[k]}, not {own[k]}" for k in own if state[k] != own[k]]:
            raise MienError(
                f"{self.out} holds another training ({'; '.join(other)}); resume it as it was, or "
                "give another --out"
            )
        self._continue(state)
        for name, module in self.trainer.modules.items():
            module.load_state_dict(state["modules"][name])
            self.optimizers[name].load_state_dict(state["optimizers"][name])
        for name, module in self.ema.items():
            module.load_state_dict(state["ema"][name])
        self.step = int(state["step"])
        if self.rank == 0:
            log(f"resuming {self.out} at step {self.step}")

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


def _board(out: Path, log: Callable[[str], None]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log("no TensorBoard (pip install tensorboard): only this log is kept")
        return None
    return SummaryWriter(str(out / "board"))
