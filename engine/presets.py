"""Named presets: what is set now under a name, and back again with one request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from engine.errors import UsageError, suggestion
from engine.graph import Graph, with_parameter
from engine.settings import PRESETS_MOST, Preset, Settings, checked_preset, kept

Set = Callable[[str, str, Any], Awaitable[Any]]
OPS: Final = (
    "presets", "preset_save", "preset_apply", "preset_delete", "preset_import", "defaults"
)  # fmt: skip


class Presets:
    """The operations on presets of a running graph. ``put`` sets (node, parameter, value)."""

    def __init__(self, graph: Graph, settings: Settings, put: Set) -> None:
        self._graph = graph
        self._settings = settings
        self._put = put

    async def call(self, op: str, arguments: dict[str, Any]) -> Any:
        """One of ``OPS``. Raises UsageError."""
        if op == "presets":
            return self.listed()
        return await getattr(self, "_" + op)(**arguments)

    def listed(self) -> list[dict[str, Any]]:
        """name, hotkey and values of each, in the order in which they were made."""
        return [
            {"name": name, "hotkey": preset.hotkey, "values": preset.values}
            for name, preset in self._settings.presets.items()
        ]

    async def _preset_save(
        self, name: str, hotkey: str = "", nodes: Iterable[str] = (), values: Any = None
    ) -> list[dict[str, Any]]:
        """Under a name, the given values, or else all that the nodes have now."""
        if values is None:
            values = {node: self._now(node) for node in nodes}
        self._add(name, {"hotkey": hotkey, "values": values})
        return self.listed()

    async def _preset_apply(self, name: str) -> int:
        """How many values were set; nodes that this graph lacks and what no longer fits aren't."""
        count = 0
        for node, values in self._named(name).values.items():
            for parameter, value in values.items():
                spec = self._graph.nodes.get(node)
                if spec is None or parameter not in kept(self._graph, node):
                    continue
                try:
                    with_parameter(spec, parameter, value)
                except UsageError:
                    continue
                await self._put(node, parameter, value)
                count += 1
        return count

    async def _preset_delete(self, name: str) -> list[dict[str, Any]]:
        self._named(name)
        del self._settings.presets[name]
        self._settings.touch()
        return self.listed()

    async def _preset_import(self, presets: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All or none; a name that is taken by other values gets a number."""
        try:
            new = [checked_preset(item["name"], item) for item in presets]
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"this isn't a file of presets: {error}") from None
        before = dict(self._settings.presets)
        taken = {preset.hotkey for preset in before.values()}
        try:
            for name, preset in new:
                free, number = name, 2
                while free in before and before[free].values != preset.values:
                    free, number = f"{name[:36]} {number}", number + 1
                if free in before:
                    continue
                hotkey = "" if preset.hotkey in taken else preset.hotkey
                self._add(free, {"hotkey": hotkey, "values": preset.values})
        except UsageError:
            self._settings.presets = before
            raise
        return self.listed()

    async def _defaults(self) -> None:
        """Everything as the graph and the command line have it; presets stay."""
        for node, values in self._settings.first.items():
            for name, value in values.items():
                if getattr(self._graph.nodes[node].config, name) != value:
                    await self._put(node, name, value)
        self._settings.forget()

    def _now(self, node: str) -> dict[str, Any]:
        if node not in self._graph.nodes:
            raise UsageError(f"no node '{node}'{suggestion(node, self._graph.nodes)}")
        config = self._graph.nodes[node].config
        return {name: getattr(config, name) for name in kept(self._graph, node)}

    def _named(self, name: str) -> Preset:
        presets = self._settings.presets
        if name not in presets:
            raise UsageError(f"no preset '{name}'{suggestion(name, presets)}")
        return presets[name]

    def _add(self, name: Any, item: dict[str, Any]) -> None:
        """A key belongs to one preset: the newest."""
        presets = self._settings.presets
        try:
            name, preset = checked_preset(name, item)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if name not in presets and len(presets) >= PRESETS_MOST:
            raise UsageError(f"there are {PRESETS_MOST} presets already; delete one first")
        for other, old in presets.items():
            if preset.hotkey and old.hotkey == preset.hotkey:
                presets[other] = Preset(old.values)
        presets[name] = preset
        self._settings.touch()
