"""A training as it runs: batches, steps, averages, validation, checkpoints, what is shown of it."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from engine import signals
from engine.errors import MienError
from engine.files import make_folder
from training import checkpoint, parallel
from training.loop import Batch, Trainer
from training.losses.faces import total
from training.progress import Progress, profiled
from training.provenance import differences

Drawn = Mapping[str, NDArray[Any]]
Turns = Iterator[tuple[str, Mapping[str, Tensor], Mapping[str, float]]]
"""of a step: (group, parts, their weights)"""
_BETAS: Final = (0.9, 0.99)


def train(
    trainer: Trainer,
    out: Path,
    seed: int,
    device: str,
    command: str,
    log: Callable[[str], None],
    accept_changes: bool = False,
    profile: bool = False,
) -> Path:
    """Train until ``schedule.steps``, resuming what ``out`` holds. What was begun with other data
    or another recipe is refused unless ``accept_changes``. ``profile`` writes what the first steps
    took to OUT/profile.json. Raises MienError."""
    fabric = parallel.begin(device, trainer.recipe.schedule.bf16)
    try:
        return Run(trainer, out, seed, command, fabric, log).go(accept_changes, profile)
    finally:
        parallel.end()


class Run:
    """One training of ``trainer`` in the folder ``out``."""

    def __init__(
        self,
        trainer: Trainer,
        out: Path,
        seed: int,
        command: str,
        fabric: Fabric,
        log: Callable[[str], None],
    ) -> None:
        self.trainer, self.out, self.seed, self.log = trainer, out, seed, log
        self.stages = [*trainer.began, trainer.stage(command)]
        self.fabric, self.rank, self.world = fabric, fabric.global_rank, fabric.world_size
        self.schedule = schedule = trainer.recipe.schedule
        if unknown := schedule.group_lr.keys() - trainer.modules.keys():
            known = ", ".join(trainer.modules)
            raise MienError(f"schedule.group_lr names {sorted(unknown)}; there is {known}")
        # Before anything lies on a card: it reads recordings, as the trainer itself did.
        self.judge = trainer.held_out() if self.rank == 0 else None
        for held in vars(trainer).values():
            if isinstance(held, nn.Module):
                held.to(fabric.device)
        for module in trainer.modules.values():
            # Channels last is 1.5 to 2 times as quick for convolutions on a CPU; torch's types
            # don't know that a module can be told so without a dtype.
            module.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.sum = fabric.setup_module(parallel.Sum(trainer.modules))
        self.ema = {name: self._averaged(trainer.modules[name]) for name in trainer.averaged}
        self.optimizers = {
            name: torch.optim.AdamW(
                module.parameters(),
                lr=schedule.group_lr.get(name, schedule.lr),
                betas=_BETAS,
                weight_decay=schedule.weight_decay,
            )
            for name, module in trainer.modules.items()
        }
        self.schedulers: dict[str, LambdaLR] = {}
        self.best: dict[str, float] = {}
        self.step = self.saved = 0
        self.whole = True
        """whether no step is half done"""

    def go(self, accept_changes: bool, profile: bool) -> Path:
        """Train; the path of the last checkpoint. After Ctrl-C or SIGTERM the step is finished and
        saved. Raises MienError."""
        schedule, trainer = self.schedule, self.trainer
        self._resume(accept_changes)
        self._begin_schedulers()
        self.log("\n".join(trainer.recipe.lines()))
        if self.rank == 0 and self.judge is None:
            self.log("nobody is held out: no best checkpoint is kept")
        folder = self.out if self.rank == 0 else None
        shown = Progress(trainer.name, folder, schedule, self.world, self.step, self.log)
        try:
            with (
                shown,
                profiled(self.out, profile and self.rank == 0, self.log) as stepped,
                self._together() as stopped,
            ):
                for drawn in self._batches():
                    with signals.held():
                        batches = [self._ready(part) for part in drawn]
                        torch.manual_seed(self._number(self.step))
                        self.whole = False
                        figures = self._advance(batches)
                        self.step += 1
                        self.whole = True
                    stepped()
                    shown.step(self.step, figures)
                    if self._due(schedule.images_every):
                        with torch.no_grad():
                            averaged = {n: slow.module for n, slow in self.ema.items()}
                            shown.images(self.step, trainer.pictures(batches[-1], averaged))
                    better = self._due(schedule.validate_every) and self._validate(shown)
                    if self._due(schedule.save_every):
                        self._save()
                    if better:
                        self._save(checkpoint.BEST, agreed=False)
                    if stopped():
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            if self.whole and self.step > self.saved:
                with signals.held():  # torchrun tells its processes again
                    # Others may be elsewhere: nothing is asked of them.
                    self._save(agreed=False)
                    self.log(f"saved at step {self.step}")
            raise
        return self.out / checkpoint.LAST

    @contextlib.contextmanager
    def _together(self) -> Iterator[Callable[[], bool]]:
        """Whether this process or another was told to stop: several do after the same step, one by
        itself."""
        if self.world == 1:
            yield lambda: False
            return
        with signals.held() as came:
            yield lambda: self.fabric.strategy.reduce_boolean_decision(bool(came), all=False)

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.schedule.steps

    def _averaged(self, module: nn.Module) -> AveragedModel:
        """An exponential moving average; young, it forgets faster."""
        decay = self.schedule.ema_decay

        def follow(slow: Any, fast: Any, count: Any) -> None:
            if not slow[0].is_floating_point():  # what counts is copied
                for kept, new in zip(slow, fast, strict=True):
                    kept.copy_(new)
                return
            keep = min(decay, (1 + int(count)) / (10 + int(count)))
            average: Any = get_ema_multi_avg_fn(keep)  # type: ignore[no-untyped-call]
            average(slow, fast, count)

        averaged = AveragedModel(module, multi_avg_fn=follow, use_buffers=True)
        averaged.eval().requires_grad_(False)
        return averaged

    def _begin_schedulers(self) -> None:
        """From the step that was reached; of lr it's the recipe that counts, not the checkpoint."""
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["initial_lr"] = self.schedule.group_lr.get(name, self.schedule.lr)
            self.schedulers[name] = LambdaLR(optimizer, self.schedule.lr_share, self.step - 1)

    def _advance(self, batches: list[Batch]) -> dict[str, float]:
        """One step; what is to be shown of it."""
        trainer, figures = self.trainer, dict[str, float]()
        for module in trainer.modules.values():
            module.train()
        turns = [trainer.losses(batch, self.step) for batch in batches]
        while group := self._gather(turns, figures):
            self._optimize(group, figures)
        wrong = [name for name, value in figures.items() if not np.isfinite(value)]
        if wrong:
            raise MienError(
                f"step {self.step}: {', '.join(wrong)} is no number any more; "
                f"resume from {self.out} with a smaller lr"
            )
        for name, slow in self.ema.items():
            slow.update_parameters(trainer.modules[name])
        for scheduler in self.schedulers.values():
            scheduler.step()
        return figures

    def _gather(self, turns: list[Turns], figures: dict[str, float]) -> str:
        """Gradients of the next turn, of one batch after another; the group that is to be stepped,
        "" where there is no turn left."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        group, share = "", 1 / len(turns)
        for turn in turns:
            with self.fabric.autocast():
                made = next(turn, None)
            if made is None:
                return ""
            group, parts, weights = made
            # Processes tell each other their gradients once, with those of the last batch.
            with self.fabric.no_backward_sync(self.sum, enabled=turn is not turns[-1]):
                self.fabric.backward(self.sum(parts, weights) * share)
            for name, part in parts.items():
                figures[name] = figures.get(name, 0.0) + float(part.detach()) * share
        return group

    def _optimize(self, group: str, figures: dict[str, float]) -> None:
        """Modules that the group doesn't name stay as they are."""
        for name in group.split("+"):
            optimizer = self.optimizers[name]
            of = f"/{name}" if len(self.optimizers) > 1 else ""
            for params in optimizer.param_groups:
                norm = nn.utils.clip_grad_norm_(params["params"], self.schedule.max_grad_norm)
                figures |= {f"lr{of}": params["lr"], f"grad_norm{of}": float(norm)}
            optimizer.step()

    def _validate(self, shown: Progress) -> bool:
        """Losses of the averages on people held out, always of the same batches; whether they are
        the lowest so far."""
        if self.judge is None:
            return False
        modules = self.trainer.modules | {n: slow.module for n, slow in self.ema.items()}
        self.judge.modules = {name: module.eval() for name, module in modules.items()}
        figures: dict[str, float] = defaultdict(float)
        count = self.schedule.validation_batches
        with torch.no_grad():
            for number in range(count):
                torch.manual_seed(number)
                drawn = self.judge.draw(np.random.default_rng([self.seed, number]), number)
                with self.fabric.autocast():
                    turns = list(self.judge.losses(self._ready(drawn), self.step))
                for _, parts, weights in turns:
                    figures["validation"] += float(total(parts, weights)) / count
                    for name, part in parts.items():
                        figures[f"validation/{name}"] += float(part) / count
        shown.validated(self.step, figures)
        better = figures["validation"] < self.best.get("loss", np.inf)
        if better:
            self.best = {"step": self.step, "loss": figures["validation"]}
        return better

    def _batches(self) -> Iterator[list[Drawn]]:
        """What each step takes, from this one on, drawn ahead by a few threads, in order."""
        schedule = self.schedule
        steps = iter(range(self.step, schedule.steps))
        with ThreadPoolExecutor(schedule.workers) as pool:
            ahead: list[Future[list[Drawn]]] = []
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

    def _ready(self, drawn: Drawn) -> Batch:
        batch = {}
        for name, array in drawn.items():
            tensor = torch.from_numpy(array).to(self.fabric.device)
            if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            batch[name] = tensor
        return batch

    def _draw(self, step: int) -> list[Drawn]:
        places = [[self.seed, step, self.rank]]
        places += [[*places[0], 2, part] for part in range(1, self.schedule.accumulate)]
        return [self.trainer.draw(np.random.default_rng(place), step) for place in places]

    def _number(self, step: int) -> int:
        return int(np.random.default_rng([self.seed, step, self.rank, 1]).integers(1 << 62))

    def _save(self, name: str = checkpoint.LAST, agreed: bool = True) -> None:
        if agreed:
            for module in (*self.trainer.modules.values(), *self.ema.values()):
                floating = (b for b in module.buffers() if b.is_floating_point())
                parallel.average(self.fabric, floating)
        if self.rank:
            return
        state = {
            "name": self.trainer.name,
            "step": self.step,
            "seed": self.seed,
            "world": self.world,
            "stages": self.stages,
            "size": self.trainer.size,
            "best": self.best,
            "modules": {n: m.state_dict() for n, m in self.trainer.modules.items()},
            "ema": {n: slow.module.state_dict() for n, slow in self.ema.items()},
            "optimizers": {n: o.state_dict() for n, o in self.optimizers.items()},
        }
        checkpoint.save(self.out, state, name)
        if name == checkpoint.LAST:
            self.saved = self.step

    def _resume(self, accept_changes: bool) -> None:
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
        self._continue(state, accept_changes)
        for name, module in self.trainer.modules.items():
            module.load_state_dict(state["modules"][name])
            self.optimizers[name].load_state_dict(state["optimizers"][name])
        self.step = self.saved = int(state["step"])
        for name, slow in self.ema.items():
            slow.module.load_state_dict(state["ema"][name])
            slow.n_averaged.fill_(self.step)
        self.best = dict(state.get("best", {}))
        self.log(f"resuming {self.out} at step {self.step}")

    def _continue(self, state: dict[str, Any], accept_changes: bool) -> None:
        """Go on with the stages of a checkpoint."""
        now = self.stages[-1] | {"from_step": int(state["step"])}
        changed = differences(state["stages"][-1], now)
        if changed and not accept_changes:
            listed = "; ".join(changed[:4])
            raise MienError(
                f"{self.out} was begun otherwise ({listed}); resume it as it was, give another "
                "--out, or take it over with --accept-changes, which its checkpoints will tell"
            )
        self.stages = [*state["stages"], *([now] if changed else [])]
