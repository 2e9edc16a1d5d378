"""A graph from a TOML file: nodes, edges by name, placement; checked before anything runs."""

from __future__ import annotations

import copy
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine import node_types, plugins
from engine.errors import MienError, UsageError, suggestion, words
from engine.governor import Plan, read_plan
from engine.lines import find_line
from engine.node import Node
from engine.parameters import build, change
from engine.roles import Roles
from engine.types import Input, Message

NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
TEXT_MOST = 2**20
_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z")  # Z85
_RESERVED = ("control", "supervisor")
_TOP_KEYS = (
    "name", "delivery", "stalled_after_s", "silent_after_s", "nodes", "processes", "hosts",
    "governor", "roles",
)  # fmt: skip
_NODE_KEYS = ("type", "inputs", "parameters", "thread", "backpressure")
_PROCESS_KEYS = ("nodes", "host")
_HOST_KEYS = ("address", "port", "public_key")


@dataclass
class NodeSpec:
    """One node: its class, its sources by input port, its Config, and the process it lives in."""

    name: str
    type_name: str
    node_type: type[Node]
    inputs: dict[str, tuple[str, str]]
    config: Any
    process: str
    outputs: Mapping[str, type[Message]]
    thread: bool = False
    """the graph gives it a thread of its own"""
    backpressure: bool = False
    """what feeds it takes no new picture while one waits for it"""

    @property
    def runs(self) -> Literal["executor", "thread", "loop"]:
        return "thread" if self.thread else self.node_type.runs

    @property
    def ports(self) -> Mapping[str, Input]:
        return self.node_type.inputs


@dataclass(frozen=True)
class HostSpec:
    """Another machine: where it listens (one port per process, the first for its control)."""

    address: str
    port: int
    public_key: str


@dataclass
class Graph:
    """A checked graph; ``nodes`` are in topological order."""

    name: str
    delivery: Literal["live", "lossless"]
    nodes: dict[str, NodeSpec]
    processes: dict[str, str]
    """process -> host"""
    hosts: dict[str, HostSpec]
    stalled_after_s: float
    """a live process whose step lasts longer is killed and started again"""
    silent_after_s: float
    """and so is one that can't even report for so long: stopped, or its interpreter held"""
    roles: Roles
    """which node does what"""
    governor: Plan | None
    """what is done without while the machine can't keep up"""
    given: frozenset[str]
    """node.parameter names that were set for this run"""
    raw: dict[str, Any] = field(repr=False)

    def consumers(self, node: str, port: str) -> list[tuple[NodeSpec, str]]:
        """(node, input port) of everything fed by an output."""
        return [
            (spec, name)
            for spec in self.nodes.values()
            for name, source in spec.inputs.items()
            if source == (node, port)
        ]

    def in_process(self, process: str) -> list[NodeSpec]:
        return [spec for spec in self.nodes.values() if spec.process == process]

    def describe(self) -> dict[str, Any]:
        """Plain data for the page and for drawing."""
        return {
            "name": self.name,
            "delivery": self.delivery,
            "nodes": {
                spec.name: {
                    "type": spec.type_name,
                    "process": spec.process,
                    "inputs": {port: ".".join(source) for port, source in spec.inputs.items()},
                    "outputs": {port: kind.__name__ for port, kind in spec.outputs.items()},
                }
                for spec in self.nodes.values()
            },
            "processes": dict(self.processes),
            "roles": dict(self.roles),
        }


def load(
    source: Path | str | Mapping[str, Any], settings: Iterable[str] = (), *, check: bool = True
) -> Graph:
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


class _Checker:
    def __init__(self, raw: dict[str, Any], text: str, where: str) -> None:
        self.raw = raw
        self.text = text
        self.where = where
        self.given: set[str] = set()

    def fail(self, problem: str, table: str = "", key: str = "", word: str = "") -> UsageError:
        line = find_line(self.text, table, key, word) if table else None
        place = f"{self.where}:{line}" if line else self.where
        return UsageError(words(UsageError(f"{place}: {problem}")))

    def table(self, value: Any, name: str, allowed: Iterable[str] | None = None) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.fail(f"[{name}] should be a table", name)
        if allowed is not None:
            for key in value:
                if key not in allowed:
                    raise self.fail(
                        f"unknown key '{key}' in [{name}]{suggestion(key, allowed)}", name, key
                    )
        return value

    def check(self, settings: Iterable[str]) -> Graph:
        """The graph. Raises UsageError, whatever is wrong."""
        try:
            return self._check(settings)
        except MienError:
            raise
        except Exception as error:  # nobody can foresee all that a file may hold
            raise self.fail(f"not a graph: {words(error)}") from error

    def seconds(self, key: str, default: float) -> float:
        value = self.raw.get(key, default)
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise self.fail(f"{key} is a number of seconds, not {value!r}", key)
        return float(value)

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

    def hosts(self) -> dict[str, HostSpec]:
        hosts = {}
        for name, entry in self.table(self.raw.get("hosts", {}), "hosts").items():
            table = f"hosts.{name}"
            entry = self.table(entry, table, _HOST_KEYS)
            for key, kind in (("address", str), ("port", int), ("public_key", str)):
                if type(entry.get(key)) is not kind:
                    raise self.fail(f"[{table}] needs {key} ({kind.__name__})", table, key)
            if not 0 < entry["port"] < 2**16 - len(self.raw.get("processes", {})):
                raise self.fail(f"port {entry['port']} is none", table, "port")
            if not _KEY.match(entry["public_key"]):
                raise self.fail(
                    "public_key has 40 characters; `graph --key` shows it", table, "public_key"
                )
            hosts[name] = HostSpec(entry["address"], entry["port"], entry["public_key"])
        return hosts

    def placement(
        self, entries: dict[str, Any], hosts: dict[str, HostSpec]
    ) -> tuple[dict[str, str], dict[str, str]]:
        placement: dict[str, str] = {}
        processes: dict[str, str] = {}
        for process, entry in self.table(self.raw.get("processes", {}), "processes").items():
            table = f"processes.{process}"
            entry = self.table(entry, table, _PROCESS_KEYS)
            if not NAME.match(process):
                raise self.fail(f"'{process}' is no name for a process: a-z, 0-9 and _", table)
            if process in _RESERVED:
                raise self.fail(
                    f"'{process}' is the engine's own; name the process otherwise", table
                )
            host = entry.get("host", "")
            if not isinstance(host, str) or (host and host not in hosts):
                raise self.fail(f"unknown host '{host}'{suggestion(host, hosts)}", table, "host")
            processes[process] = host
            names = entry.get("nodes")
            if not isinstance(names, list) or not all(isinstance(node, str) for node in names):
                raise self.fail(f"[{table}] needs nodes = [names]", table, "nodes")
            for node in names:
                if node not in entries:
                    known = suggestion(node, entries)
                    raise self.fail(f"no node '{node}'{known}", table, "nodes", str(node))
                if node in placement:
                    raise self.fail(
                        f"{node} is already in process {placement[node]}", table, "nodes", node
                    )
                placement[node] = process
        if hosts and "" in processes.values():
            process = next(name for name, host in processes.items() if not host)
            raise self.fail(f"[processes.{process}] needs host, since the graph has hosts")
        return placement, processes

    def type_of(self, name: str, entry: Any) -> tuple[str, type[Node]]:
        """The "module:Class" of a node, and the class."""
        table = f"nodes.{name}"
        given = self.table(entry, table, _NODE_KEYS).get("type")
        if not isinstance(given, str):
            raise self.fail(f'[{table}] needs type = "module:Class"', table, "type")
        try:
            return node_types.find(given)
        except UsageError as error:
            raise self.fail(str(error), table, "type") from None

    def node(
        self, name: str, entry: dict[str, Any], process: str, type_name: str, node_type: type[Node]
    ) -> NodeSpec:
        table = f"nodes.{name}"
        inputs = {}
        for port, source in self.table(entry.get("inputs", {}), f"{table}.inputs").items():
            if port not in node_type.inputs:
                raise self.fail(
                    f"{name} has no input '{port}'{suggestion(port, node_type.inputs)}",
                    table,
                    "inputs",
                    port,
                )
            origin, dot, output = str(source).partition(".")
            if not dot or not isinstance(source, str):
                raise self.fail(f'{port} = "{source}": write it as "node.port"', table, "inputs")
            inputs[port] = (origin, output)
        for port, kind in node_type.inputs.items():
            if port not in inputs and not kind.optional:
                raise self.fail(f"{name} needs its input '{port}'", table, "inputs")
        parameters = self.table(entry.get("parameters", {}), f"{table}.parameters")
        try:
            config = build(node_type.Config, parameters, f"{name}.")
        except UsageError as error:
            wrong = next((key for key in parameters if f"{name}.{key}" in str(error)), "")
            quoted = re.search(r"parameter '\w+\.(\w+)'", str(error))
            word = wrong or (quoted.group(1) if quoted else "")
            raise self.fail(str(error), table, "parameters", word) from None
        outputs = node_type.declared_outputs(config)
        spec = NodeSpec(name, type_name, node_type, inputs, config, process, outputs)
        self.place(spec, entry, table)
        return spec

    def place(self, spec: NodeSpec, entry: dict[str, Any], table: str) -> None:
        """The thread that it has, and whether what feeds it waits for it."""
        for key in ("thread", "backpressure"):
            value = entry.get(key, False)
            if not isinstance(value, bool):
                raise self.fail(f"{key} is true or false, not {value!r}", table, key)
            setattr(spec, key, value)
        if spec.thread and (spec.node_type.runs == "loop" or not spec.node_type.inputs):
            what = "a source" if spec.node_type.runs != "loop" else "a network node"
            raise self.fail(f"{spec.name} is {what} and can't have another thread", table, "thread")
        if spec.backpressure and spec.runs != "thread":
            raise self.fail(
                f"{spec.name} needs thread = true, for something to wait for it",
                table, "backpressure",
            )  # fmt: skip

    def edges(self, spec: NodeSpec, nodes: dict[str, NodeSpec]) -> None:
        table = f"nodes.{spec.name}"
        for port, (origin, output) in spec.inputs.items():
            if origin not in nodes:
                raise self.fail(
                    f"no node '{origin}'{suggestion(origin, nodes)}", table, "inputs", origin
                )
            outputs = nodes[origin].outputs
            if output not in outputs:
                raise self.fail(
                    f"{origin} has no output '{output}'{suggestion(output, outputs)}",
                    table,
                    "inputs",
                    output,
                )
            wanted = spec.ports[port].type
            if not issubclass(outputs[output], wanted):
                raise self.fail(
                    f"{spec.name}.{port} takes {wanted.__name__},"
                    f" but {origin}.{output} gives {outputs[output].__name__}",
                    table,
                    "inputs",
                    output,
                )

    def order(self, nodes: dict[str, NodeSpec]) -> dict[str, NodeSpec]:
        ordered: dict[str, NodeSpec] = {}
        path: list[str] = []

        def visit(name: str) -> None:
            if name in ordered:
                return
            if name in path:
                circle = " -> ".join([*path[path.index(name) :], name])
                raise self.fail(f"the graph runs in a circle: {circle}", f"nodes.{name}", "inputs")
            path.append(name)
            for origin, _ in nodes[name].inputs.values():
                visit(origin)
            path.pop()
            ordered[name] = nodes[name]

        for name in nodes:
            visit(name)
        return ordered


def set_parameter(graph: Graph, node: str, name: str, config: Any) -> None:
    """From now on the node has this Config, one of whose values is new; so has one started anew."""
    graph.nodes[node].config = config
    entry = graph.raw["nodes"][node]
    entry["parameters"] = {**entry.get("parameters", {}), name: getattr(config, name)}


def with_parameter(spec: NodeSpec, name: str, value: Any) -> Any:
    """The node's Config with one change, validated. Raises UsageError."""
    return change(spec.config, name, value, f"{spec.name}.")
