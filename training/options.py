"""The command line of a training: where from, where to, and every field of its recipe (tyro)."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import tyro

from engine.errors import UsageError
from training.recipe import Recipe

SHORT: Final = {
    "--steps": "--schedule.steps",
    "--batch": "--schedule.batch",
    "--without-fold": "--plan.without-fold",
}
"""what may be written shorter"""
CONFIGS: Final = ("debug", "full")
_TEXT: Final = """{name}: {task}.

{prog} --config full --data DATA --out runs/{name}

{prog} --data DATA --out runs/{name} --schedule.lr 3e-4 --schedule.steps 500

Figures are those of --config {config}. The same command again resumes; another recipe is told, and
taken with --accept-changes. Shorter: {short}."""


@dataclass(frozen=True, kw_only=True)
class Where:
    """Of this training."""

    data: Path
    """a folder of shards or photographs"""
    out: Path
    """the run's folder; what it holds is gone on with"""
    config: Literal["debug", "full"] = "debug"
    """a tiny network and a few steps, or what ships"""
    start: Path | None = None
    """begin with the weights of this run"""
    seed: int = 0
    """of all that is drawn"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where it is computed"""
    profile: tyro.conf.FlagCreatePairsOff[bool] = False
    """time the second and third step: a table, and OUT/profile.json"""
    accept_changes: tyro.conf.FlagCreatePairsOff[bool] = False
    """go on although data or recipe aren't those that the run began with"""


R = TypeVar("R", bound=Recipe)


@dataclass(frozen=True)
class Options(Generic[R]):
    """What was asked for; ``runs`` are those of networks that are asked."""

    where: Where
    runs: Mapping[str, Path]
    recipe: R


def parse(kind: type[R], arguments: Sequence[str], prog: str) -> Options[R]:
    """Raises UsageError, in one line; SystemExit after --help."""
    config = _config(arguments)
    bare = tyro.conf.arg(name="")
    runs = make_dataclass("Runs", [(name, Annotated[Path, _run(name)]) for name in kind.leans_on])
    recipe: Any = field(default=kind.config(config))
    given: Any = make_dataclass(
        "Given",
        [
            ("where", Annotated[Where, bare]),
            ("runs", Annotated[runs, bare]),
            ("recipe", Annotated[kind, bare], recipe),
        ],
    )
    short = ", ".join(f"{a} for {b}" for a, b in SHORT.items())
    text = _TEXT.format(name=kind.name, task=kind.task, prog=prog, config=config, short=short)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            found = tyro.cli(given, args=_long(arguments), prog=prog, description=text)
    except SystemExit as end:
        if end.code in (0, None):
            raise
        raise UsageError(f"{_line(printed.getvalue())}; {prog} --help") from None
    named = {one.name: getattr(found.runs, one.name) for one in dataclasses.fields(found.runs)}
    return Options(found.where, named, found.recipe)


def _run(name: str) -> Any:
    return tyro.conf.arg(help=f"a trained run of {name}", metavar="RUN")


def _config(arguments: Sequence[str]) -> str:
    """Whose figures the others are changes of."""
    for index, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name == "--config":
            value = value if equals else next(iter(arguments[index + 1 :]), "")
            return value if value in CONFIGS else CONFIGS[0]  # tyro says what is wrong with it
    return CONFIGS[0]


def _long(arguments: Sequence[str]) -> list[str]:
    out = []
    for word in arguments:
        name, equals, value = word.partition("=")
        out.append(f"{SHORT.get(name, name)}{equals}{value}")
    return out


def _line(text: str) -> str:
    """What tyro tells in a box or between rules, in a line: what is wrong, and what was perhaps
    meant."""
    blocks: list[list[str]] = [[]]
    for row in text.splitlines():
        row = row.strip("│| ")
        if row.startswith(("╭", "╰")):
            continue
        if row.strip("─- "):
            blocks[-1].append(row)
        else:
            blocks.append([])
    if not text.lstrip().startswith("╭"):
        blocks.pop(0)  # the title
    line = " ".join(" ".join(blocks[0]).split())
    if len(blocks) > 1 and blocks[1][0].startswith("Perhaps"):
        line += f"; did you mean {blocks[1][1].split()[0].strip(',')}?"
    return line
