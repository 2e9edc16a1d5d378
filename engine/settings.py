"""What a person has set is kept for the next run: parameters by node, and named presets of them."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import platformdirs

from engine import files, folders
from engine.errors import MienError, UsageError
from engine.graph_spec import Graph, set_parameter, with_parameter
from engine.parameters import describe

FILE_MOST_BYTES: Final = 1 << 20
PRESETS_MOST: Final = 32
NAME_MOST: Final = 40
WRITE_AFTER_S: Final = 0.5

Plain = str | int | float | bool | None
Values = dict[str, dict[str, Plain]]
"""by node, by parameter"""
Document = dict[str, Any]
"""values and presets as they go into a file"""


@dataclass(frozen=True, slots=True)
class Preset:
    """Values under a name, and the key that brings them back ("": none)."""

    values: Values
    hotkey: str = ""


class Settings:
    """A file of values and presets; without a path they last for one run.

    ``notes`` is what a person should know of the reading, a line each. Engines may share a
    file: each writes what was changed in it, and leaves the rest as it finds it.
    """

    def __init__(self, path: Path | None = None, given: Iterable[str] = ()) -> None:
        """``given`` (node.parameter) was set for this run alone, and wins."""
        self.values: Values = {}
        self.first: Values = {}
        """what the graph and the command line say"""
        self.presets: dict[str, Preset] = {}
        self.notes: list[str] = []
        self.on_trouble: Callable[[str], None] = self.notes.append
        self._path = path
        self._given = set(given)
        self._stale = asyncio.Event()
        self._closing = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        if path is not None:
            self._read(path)
        self._written = self._document()

    def begin(self, graph: Graph) -> None:
        """Lay the values over a graph; what no longer fits is left out and noted."""
        self.first = {
            node: {name: getattr(spec.config, name) for name in kept(graph, node)}
            for node, spec in graph.nodes.items()
        }
        refused = []
        for node, values in self.values.items():
            spec = graph.nodes.get(node)
            if spec is None:
                continue  # this run has no such node; another one may
            for name, value in list(values.items()):
                try:
                    config = with_parameter(spec, name, value)
                except UsageError as error:
                    refused.append(str(error))
                    del values[name]
                    continue
                if f"{node}.{name}" not in self._given:
                    set_parameter(graph, node, name, config)
        if refused:
            more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
            self.notes.append(f"a kept setting no longer fits and is left out: {refused[0]}{more}")

    def changed(self, graph: Graph, node: str, name: str) -> None:
        """A parameter has another value now; write it soon if it is one that is kept."""
        if name in kept(graph, node):
            self.values.setdefault(node, {})[name] = getattr(graph.nodes[node].config, name)
            self.touch()

    def forget(self) -> None:
        """No value is kept any more; presets are."""
        self.values.clear()
        self.touch()

    def touch(self) -> None:
        """Write soon: once for many changes in a row."""
        self._stale.set()
        if self._writer is None and self._path is not None:
            self._writer = asyncio.get_running_loop().create_task(self._write_stale(self._path))

    async def close(self) -> None:
        """Write what isn't written yet."""
        self._closing.set()
        if self._writer is not None:
            self._stale.set()
            await self._writer

    async def _write_stale(self, path: Path) -> None:
        told = False
        over = False
        while not over:
            await self._stale.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), WRITE_AFTER_S)
            self._stale.clear()
            over = self._closing.is_set()
            try:
                document = self._document()
                await asyncio.to_thread(_write, path, document, self._written)
                self._written = document
                told = False
            except MienError as error:
                if not told:
                    self.on_trouble(f"settings aren't kept: {error}")
                told = True

    def _document(self) -> Document:
        return _plain(self.values, self.presets)

    def _read(self, path: Path) -> None:
        try:
            files.check_source(path)
            if not path.exists():
                return
            self.values, self.presets = _parse(path)
        except MienError as error:
            self._path = None
            self.notes.append(f"settings aren't kept: {error}")
        except OSError as error:
            self._path = None
            self.notes.append(f"settings aren't kept: {path} can't be read: {error.strerror}")
        except (ValueError, RecursionError) as error:
            aside = path.with_name(path.name + ".damaged")
            with contextlib.suppress(OSError):
                path.replace(aside)
            what = str(error) or "nested too deeply"
            self.notes.append(f"{path} is damaged ({what}); started without it, {aside} keeps it")


def default_path() -> Path | None:
    """The user's file; None where the system knows no folder of this user."""
    path = platformdirs.user_config_path("mien", appauthor=False) / "settings.json"
    return path if path.is_absolute() else None


def kept(graph: Graph, node: str) -> list[str]:
    """The parameters of a node that outlast a run: those that can be changed, but for what is of
    the moment."""
    rows = describe(graph.nodes[node].node_type.Config)
    return [row["name"] for row in rows if row["live"] and row["kept"]]


def checked_values(values: Any) -> Values:
    """Values by node and parameter, as they come from outside. Raises ValueError."""
    if not isinstance(values, Mapping):
        raise ValueError("values aren't given by node")
    for node, row in values.items():
        if not isinstance(node, str) or not isinstance(row, Mapping):
            raise ValueError("values aren't given by node")
        for name, value in row.items():
            number = isinstance(value, int | float) and math.isfinite(value)
            if not isinstance(name, str) or not (isinstance(value, str | None) or number):
                raise ValueError(f"{node}.{name} is no plain value")
    return {node: dict(row) for node, row in values.items()}


def checked_preset(name: Any, preset: Any) -> tuple[str, Preset]:
    """A preset and its name, as they come from outside. Raises ValueError."""
    if not isinstance(name, str) or not name.strip() or len(name) > NAME_MOST:
        raise ValueError(f"a preset needs a name of 1 to {NAME_MOST} characters")
    if not name.isprintable():
        raise ValueError("a preset's name holds characters that can't be shown")
    if not isinstance(preset, Mapping):
        raise ValueError(f"the preset {name!r} holds no values")
    hotkey = preset.get("hotkey", "")
    if not isinstance(hotkey, str) or len(hotkey) > 1 or not hotkey.isprintable():
        raise ValueError(f"the preset {name!r} has no single key")
    return name.strip(), Preset(checked_values(preset.get("values")), hotkey.lower()[:1])


def _values(document: Any) -> Values:
    if not isinstance(document, Mapping):
        raise ValueError("it holds no settings")
    return checked_values(document.get("values", {}))


def _presets(document: Mapping[str, Any]) -> dict[str, Preset]:
    presets = document.get("presets", {})
    if not isinstance(presets, Mapping) or len(presets) > PRESETS_MOST:
        raise ValueError(f"presets aren't given by name, {PRESETS_MOST} at most")
    return dict(checked_preset(name, preset) for name, preset in presets.items())


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _parse(path: Path) -> tuple[Values, dict[str, Preset]]:
    """Raises ValueError, OSError."""
    if path.stat().st_size > FILE_MOST_BYTES:
        raise ValueError("it is larger than 1 MiB")
    document = json.loads(path.read_bytes(), parse_constant=_no_number)
    return _values(document), _presets(document)


def _plain(values: Values, presets: Mapping[str, Preset]) -> Document:
    """A copy that goes into a file."""
    rows = {
        name: {"hotkey": preset.hotkey, "values": preset.values} for name, preset in presets.items()
    }
    return copy.deepcopy({"values": values, "presets": rows})


def _merged(ours: Document, before: Document, theirs: Document, depth: int = 2) -> Document:
    """Theirs, changed as ours was since before; so many levels below are compared key by key."""
    result = dict(theirs)
    for key in dict.fromkeys([*ours, *before]):
        if key not in ours:
            result.pop(key, None)
        elif key in before and ours[key] == before[key]:
            continue
        elif depth:
            inner = before.get(key, {}), theirs.get(key, {})
            result[key] = _merged(ours[key], *inner, depth - 1)
        else:
            result[key] = ours[key]
    return result


def _write(path: Path, ours: Document, before: Document) -> None:
    """In one step, and on the disk before the name points to it. Raises MienError."""
    files.make_folder(path.parent)
    try:
        with folders.alone(path.parent.resolve()):
            try:
                theirs = _plain(*_parse(path))
            except (OSError, ValueError, RecursionError):
                theirs = before  # nothing there that could be kept
            document = _merged(ours, before, theirs)
            _replace(path, json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")
    except OSError as error:
        raise files.explain(error, path) from None


def _replace(path: Path, data: bytes) -> None:
    with files.atomic_write(path) as part, part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
