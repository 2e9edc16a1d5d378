"""Named presets: what is set now under a name, and back again with one request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from engine import operations as ops
from engine.dispatch import Dispatcher
from engine.errors import UsageError, suggestion
from engine.graph_spec import Graph, with_parameter
from engine.settings import PRESETS_MOST, Preset, Settings, checked_preset, kept

Set = Callable[[str, str, Any], Awaitable[Any]]


class Presets:
    """The operations on presets of a running graph. ``put`` sets (node, parameter, value)."""

    def __init__(self, graph: Graph, settings: Settings, put: Set) -> None:
        self._graph = graph
        self._settings = settings
        self._put = put

    def serve(self, dispatcher: Dispatcher) -> None:
        """Answer what is asked of presets."""
        dispatcher.on(ops.Presets, lambda _: self.listed())
        dispatcher.on(ops.PresetSave, self._save)
        dispatcher.on(ops.PresetApply, self._apply)
        dispatcher.on(ops.PresetDelete, self._delete)
        dispatcher.on(ops.PresetImport, self._import)

    def listed(self) -> list[ops.PresetRow]:
        """In the order in which they were made."""
        return [
            {"name": name, "hotkey": preset.hotkey, "values": preset.values}
            for name, preset in self._settings.presets.items()
        ]

    def _save(self, asked: ops.PresetSave) -> list[ops.PresetRow]:
        values = asked.values
        if values is None:
            values = {node: self._now(node) for node in asked.nodes}
        self._add(asked.name, {"hotkey": asked.hotkey, "values": values})
        return self.listed()

    async def _apply(self, asked: ops.PresetApply) -> int:
        """Nodes that this graph lacks and what no longer fits aren't set."""
        count = 0
        for node, values in self._named(asked.name).values.items():
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

    def _delete(self, asked: ops.PresetDelete) -> list[ops.PresetRow]:
        self._named(asked.name)
        del self._settings.presets[asked.name]
        self._settings.touch()
        return self.listed()

    def _import(self, asked: ops.PresetImport) -> list[ops.PresetRow]:
        """A name that is taken by other values gets a number."""
        try:
            new = [checked_preset(item["name"], item) for item in asked.presets]
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

    async def defaults(self) -> None:
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
