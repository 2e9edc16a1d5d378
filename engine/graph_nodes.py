"""The nodes of a graph's file: classes, ports, edges and order, as they must fit together."""

from __future__ import annotations

import re
from typing import Any

from engine import node_types
from engine.errors import UsageError, suggestion
from engine.graph_spec import NodeSpec
from engine.graph_tables import Tables
from engine.node import Node
from engine.parameters import build

_NODE_KEYS = ("type", "inputs", "parameters", "thread", "backpressure")


class NodeTables(Tables):
    """What [nodes] says."""

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

    def together(self, nodes: dict[str, NodeSpec]) -> None:
        """Nodes that share something of their process are in one."""
        first: dict[str, NodeSpec] = {}
        for spec in nodes.values():
            if not (what := spec.node_type.together):
                continue
            other = first.setdefault(what, spec)
            if other.process != spec.process:
                raise self.fail(
                    f"{other.name} and {spec.name} share {what}: put them into one process",
                    f"processes.{spec.process}", "nodes", spec.name,
                )  # fmt: skip

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
