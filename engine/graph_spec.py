"""What a checked graph is: its nodes, their places, and what holds for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.governor import Plan
from engine.node import Node
from engine.parameters import change
from engine.roles import Roles
from engine.types import Input, Message


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
    services: Mapping[str, str]
    """what runs beside the graph for its nodes: an address by name"""
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


def set_parameter(graph: Graph, node: str, name: str, config: Any) -> None:
    """From now on the node has this Config, one of whose values is new; so has one started anew."""
    graph.nodes[node].config = config
    entry = graph.raw["nodes"][node]
    entry["parameters"] = {**entry.get("parameters", {}), name: getattr(config, name)}


def with_parameter(spec: NodeSpec, name: str, value: Any) -> Any:
    """The node's Config with one change, validated. Raises UsageError."""
    return change(spec.config, name, value, f"{spec.name}.")
