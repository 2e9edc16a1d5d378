"""A graph from a TOML file: nodes, edges by name, placement; checked before anything runs."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine import plugins
from engine.errors import MienError, UsageError, suggestion, words
from engine.governor import Plan, read_plan
from engine.graph_nodes import NodeTables
from engine.graph_spec import Graph, NodeSpec
from engine.graph_tables import NAME
from engine.roles import Roles

TEXT_MOST = 2**20
_TOP_KEYS = (
    "name", "delivery", "stalled_after_s", "silent_after_s", "nodes", "processes", "hosts",
    "governor", "roles", "services",
)  # fmt: skip


def load(source: Path | str | Mapping[str, Any], settings: Iterable[str] = ()) -> Graph:
    """Read and check a graph.

    ``source`` is a TOML file, beside which its nodes' modules may lie, or its content as a
    dictionary; ``settings`` are ``node.parameter=value`` texts laid over it. Raises UsageError
    that names the line.
    """
    if isinstance(source, Mapping):
        return _Checker(copy.deepcopy(dict(source)), "", "graph").check(settings)
    path = Path(source)
    text = _text(path)
    plugins.look_beside(path)
    return _Checker(_parse(path, text), text, str(path)).check(settings)


def read(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises MienError where there is none, else UsageError."""
    return _parse(path, _text(path))


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(TEXT_MOST + 1)
    except FileNotFoundError:
        raise MienError(f"{path}: no such graph file") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: can't be read: {words(error)}") from None
    if len(text) > TEXT_MOST:
        raise UsageError(f"{path}: no graph file: it is larger than any can be")
    return text


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None


class _Checker(NodeTables):
    def __init__(self, raw: dict[str, Any], text: str, where: str) -> None:
        super().__init__(raw, text, where)
        self.given: set[str] = set()

    def check(self, settings: Iterable[str]) -> Graph:
        """The graph. Raises UsageError, whatever is wrong."""
        try:
            return self._check(settings)
        except MienError:
            raise
        except Exception as error:  # nobody can foresee all that a file may hold
            raise self.fail(f"not a graph: {words(error)}") from error

    def _check(self, settings: Iterable[str]) -> Graph:
        for key in self.raw:
            if key not in _TOP_KEYS:
                raise self.fail(f"unknown key '{key}'{suggestion(key, _TOP_KEYS)}", key)
        delivery = self.raw.get("delivery", "live")
        if delivery not in ("live", "lossless"):
            raise self.fail(f"delivery is 'live' or 'lossless', not {delivery!r}", "delivery")
        name = self.raw.get("name", Path(self.where).stem)
        if not isinstance(name, str):
            raise self.fail(f"name is text, not {name!r}", "name")
        entries = self.table(self.raw.get("nodes", {}), "nodes")
        if not entries:
            raise self.fail("the graph has no nodes; write one as [nodes.NAME]")
        for node in entries:
            if not NAME.match(node):
                raise self.fail(f"'{node}' is no name for a node: a-z, 0-9 and _", f"nodes.{node}")
        self.apply(entries, settings)
        hosts = self.hosts()
        placement, processes = self.placement(entries, hosts)
        types = {name: self.type_of(name, entry) for name, entry in entries.items()}
        nodes = {
            name: self.node(name, entry, placement.get(name, "main"), *types[name])
            for name, entry in entries.items()
        }
        if any(spec.process == "main" for spec in nodes.values()):
            processes.setdefault("main", "")
        for spec in nodes.values():
            self.edges(spec, nodes)
        self.together(nodes)
        if delivery == "lossless":
            for spec in nodes.values():
                if spec.runs == "loop":
                    raise self.fail(
                        f"{spec.name} is a network node and can't be in a lossless graph",
                        f"nodes.{spec.name}",
                        "type",
                    )
        return Graph(
            name=name,
            delivery=delivery,
            nodes=self.order(nodes),
            processes=processes,
            hosts=hosts,
            stalled_after_s=self.seconds("stalled_after_s", 10.0),
            silent_after_s=self.seconds("silent_after_s", 2.5),
            roles=self.roles(nodes),
            governor=self.governor(nodes, delivery),
            given=frozenset(self.given),
            services=self.services(),
            raw=self.raw,
        )

    def apply(self, entries: dict[str, Any], settings: Iterable[str]) -> None:
        for text in settings:
            target, equals, value = text.partition("=")
            node, dot, name = target.strip().partition(".")
            if not equals or not dot:
                raise UsageError(f"--set {text}: write it as node.parameter=value")
            if node not in entries:
                raise UsageError(f"--set {text}: no node '{node}'{suggestion(node, entries)}")
            entry = self.table(entries[node], f"nodes.{node}")
            parameters = self.table(entry.get("parameters", {}), f"nodes.{node}.parameters")
            entry["parameters"] = {**parameters, name: value.strip()}
            self.given.add(f"{node}.{name}")

    def roles(self, nodes: dict[str, NodeSpec]) -> Roles:
        for role, node in self.table(self.raw.get("roles", {}), "roles").items():
            if not NAME.match(role):
                raise self.fail(f"'{role}' is no name for a role: a-z, 0-9 and _", "roles", role)
            if not isinstance(node, str) or node not in nodes:
                known = suggestion(str(node), nodes)
                raise self.fail(f"no node '{node}' to be the {role}{known}", "roles", role)
        return Roles(self.raw)

    def governor(self, nodes: dict[str, NodeSpec], delivery: str) -> Plan | None:
        table = self.raw.get("governor")
        if table is None:
            return None
        if delivery == "lossless":
            raise self.fail("a lossless graph waits and needs no [governor]", "governor")
        edges = [
            (".".join(source), f"{spec.name}.{port}")
            for spec in nodes.values()
            for port, source in spec.inputs.items()
        ]
        try:
            return read_plan(table, {name: spec.config for name, spec in nodes.items()}, edges)
        except UsageError as error:
            raise self.fail(str(error), "governor") from None
