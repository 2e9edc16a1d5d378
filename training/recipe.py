"""What a recipe is: everything that makes one network, in one file of training/recipes/.

`Recipe` is a dataclass of what is chosen for a training (``size``, ``schedule``, ``plan``,
``losses``), and knows the rest: how the module is built, who trains it, its tensors, and calls to
compare runtimes on. `Taken` is the same for a network that others trained.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from engine.errors import MienError, UsageError
from engine.types import F32
from inference.assets import Asset
from inference.card import Tensor as Spec

if TYPE_CHECKING:
    from torch import nn

    from training.examples import Examples
    from training.loop import Trainer

ANY: Final = 3.0e38
"""the range of what has none"""
_RANGES: Final = {
    "lr": (0, math.inf), "weight_decay": (0, math.inf), "warmup_steps": (0, math.inf),
    "ema_decay": (0, 1), "max_grad_norm": (0, math.inf),
}  # fmt: skip
"""of a schedule's figures; those of the others begin at 1"""
Ports = tuple[tuple[Spec, ...], tuple[Spec, ...]]
"""inputs and outputs, in the order of ``forward``"""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, how fast, how often. Counts are steps."""

    steps: int
    """of the whole training"""
    batch: int
    """samples a step, of each process"""
    lr: float
    """learning rate, once warm; from there it falls to a twentieth"""
    weight_decay: float = 1e-4
    """of AdamW"""
    warmup_steps: int = 0
    """in which lr rises to its full height"""
    ema_decay: float = 0.999
    """share of the averaged weights that is kept at each step"""
    max_grad_norm: float = 1.0
    """a longer gradient is shortened to this"""
    group_lr: Mapping[str, float] = field(default_factory=dict)
    """lr of modules that have their own, by name: discriminator 4e-4"""
    accumulate: int = 1
    """batches whose gradients make one step"""
    save_every: int = 500
    """a checkpoint"""
    validate_every: int = 500
    """losses of people held out; the best checkpoint is kept"""
    validation_batches: int = 8
    """how many of theirs"""
    log_every: int = 20
    """a line, and its figures in TensorBoard"""
    images_every: int = 500
    """pictures in TensorBoard"""
    workers: int = 2
    """threads that draw batches ahead"""
    bf16: bool = False
    """matrices and convolutions in bfloat16"""

    @classmethod
    def debug(cls, batch: int, lr: float) -> Schedule:
        """Three steps, in which everything happens once."""
        return cls(
            steps=3, batch=batch, lr=lr, ema_decay=0.9, save_every=2, validate_every=2,
            validation_batches=1, log_every=1, workers=1,
        )  # fmt: skip

    def lr_share(self, step: int) -> float:
        """The share of lr at a step: up to 1 over the warm-up, and down to a twentieth."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        return warm * (0.05 + 0.95 * (1 - step / self.steps))

    def __post_init__(self) -> None:
        """Raises UsageError where a figure is out of its range."""
        for name, value in asdict(self).items():
            low, high = _RANGES.get(name, (1, math.inf))
            if type(value) in (int, float) and not low <= value <= high:
                limits = f"at least {low}" if high == math.inf else f"between {low} and {high}"
                raise UsageError(f"schedule.{name} is {limits}, not {value}")


@dataclass(frozen=True)
class Tolerance:
    """What lower precision may lose: of ``output``, where ``mask`` (of its shape) isn't 0, so much
    of what the network says there (summed error over summed size), in each kind of example."""

    output: str
    error: float
    mask: Callable[[], F32]


class Interface(ABC):
    """What a network is to those who run it."""

    name: ClassVar[str]
    """of the folder in weights/"""
    task: ClassVar[str]
    """in one line"""
    state: ClassVar[Mapping[str, str]] = {}
    """outputs by the input that takes them at the next step"""


class Taken(Interface):
    """A network of others, taken as it is but for the names of its tensors."""

    asset: ClassVar[Asset]
    origin: ClassVar[str]
    """whose it is, and under which licence"""
    renamed: ClassVar[Mapping[str, str]]
    """their names of tensors to ours"""
    ports: ClassVar[Ports]


@dataclass(frozen=True, kw_only=True)
class Recipe(Interface):
    """A network of the project's own, and how it is trained."""

    leans_on: ClassVar[tuple[str, ...]] = ()
    """networks whose runs its training asks, by name"""
    halved: ClassVar[bool] = False
    """whether a GPU runs it in float16"""
    quantized: ClassVar[bool] = False
    """whether int8 pays on a CPU"""
    precision: ClassVar[str] = "f32"
    """what OpenVINO computes it in on a CPU: f32, bf16 or int8, where that is good enough"""
    tolerance: ClassVar[Tolerance | None] = None

    size: Any
    """of the module"""
    schedule: Schedule
    plan: Any = None
    """what else is chosen for its training"""
    losses: Any
    """weight of each loss"""

    @classmethod
    @abstractmethod
    def full(cls) -> Self:
        """The network that ships, and its training."""

    @classmethod
    @abstractmethod
    def debug(cls) -> Self:
        """A tiny network and a few steps: seconds on a CPU."""

    @abstractmethod
    def build(self) -> nn.Module:
        """A fresh module of this size."""

    @abstractmethod
    def trainer(self, data: Path, runs: Mapping[str, Path]) -> Trainer:
        """Who trains it, on ``data``; ``runs`` are those of ``leans_on``. Raises MienError."""

    @abstractmethod
    def ports(self, module: Any) -> Ports:
        """Inputs and outputs of a module of this size."""

    @abstractmethod
    def examples(self, data: Path) -> tuple[Examples, Examples]:
        """Calls to calibrate with, and of other people to compare runtimes on. Raises MienError."""

    def origins(self) -> tuple[str, ...]:
        """Weights of others that are part of it, with their licence."""
        return ()

    @classmethod
    def config(cls, name: str) -> Self:
        """``debug`` or ``full``."""
        return cls.debug() if name == "debug" else cls.full()

    @classmethod
    def sized(cls, size: Mapping[str, Any]) -> Self:
        """The recipe of a run, as far as its module goes. Raises MienError where it can't be."""
        full = cls.full()
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in size.items()}
        try:
            return replace(full, size=type(full.size)(**given))
        except TypeError:
            raise MienError(
                f"a run of size {dict(size)} is of another kind of {cls.name} than this version's; "
                "train it anew"
            ) from None

    def scheduled(self, **changes: Any) -> Self:
        """The same with other figures in its schedule; None leaves one as it is."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, schedule=replace(self.schedule, **given))

    def choices(self) -> dict[str, Any]:
        """All that was chosen, as plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The same to be read, a line for each part."""
        return [f"{part}: {_told(values)}" for part, values in self.choices().items() if values]


def _told(values: Mapping[str, Any]) -> str:
    parts = (
        f"{name} ({_told(value)})" if value and isinstance(value, dict) else f"{name} {value!r}"
        for name, value in values.items()
    )
    return ", ".join(parts)


def spec(name: str, shape: tuple[int, ...], low: float, high: float, meaning: str) -> Spec:
    """A float32 tensor: its range, and what it means, with its unit."""
    return Spec(name, shape, "float32", low, high, meaning)
