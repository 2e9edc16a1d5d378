"""What a running graph can be asked: each operation a message with typed fields, and its answer."""

from __future__ import annotations

import re
from typing import Any, Generic, TypedDict, TypeVar, get_args

import msgspec

from engine.errors import MienError

Answer = TypeVar("Answer")
Plain = bool | int | float | str | None
"""what a parameter can be"""


def _tag(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Operation(
    msgspec.Struct,
    Generic[Answer],
    forbid_unknown_fields=True,
    tag_field="op",
    tag=_tag,
):
    """A request that is answered with ``Answer``; on the wire it is called as its class is, in
    lower case with underscores."""


class ParameterRow(TypedDict):
    """What `engine.parameters.describe` says of a parameter, and its present value."""

    name: str
    type: str
    choices: list[Any] | None
    required: bool
    default: Any
    doc: str
    low: float | None
    high: float | None
    unit: str
    live: bool
    kept: bool
    value: Any


class GovernorState(TypedDict):
    """Which level holds, of which, and why; ``by_hand``: what a person has set is left alone."""

    level: int
    text: str
    levels: list[str]
    held: bool
    why: str
    by_hand: list[str]


class PresetRow(TypedDict):
    """A preset: values by node and parameter, under a name and a key ("": none)."""

    name: str
    hotkey: str
    values: dict[str, dict[str, Plain]]


# -- of a graph, by whoever may ask: pages, nodes, the command line -------------------------------


class Parameters(Operation[dict[str, list[ParameterRow]]]):
    """Every parameter, by node."""


class Set(Operation[Plain]):
    """Change a parameter; the value as it was taken."""

    node: str
    parameter: str
    value: Plain


class Metrics(Operation[dict[str, Any]]):
    """Everything that is measured."""


class Graph(Operation[dict[str, Any]]):
    """Nodes, edges, placement and roles."""


class Restart(Operation[None]):
    """Kill a process, which is then started again."""

    process: str


class Govern(Operation[GovernorState]):
    """Keep to a level of the governor; None: let it choose again."""

    level: int | None = None


class Record(Operation[None]):
    """Write what leaves a port (``edge``: "node.port") to a file."""

    edge: str
    path: str


class RecordStop(Operation[int]):
    """End a recording; the number of messages in it."""

    edge: str


class Stop(Operation[None]):
    """End the graph."""


class Presets(Operation[list[PresetRow]]):
    """All presets, in the order in which they were made."""


class PresetSave(Operation[list[PresetRow]]):
    """Under a name, the given values, or else all that the nodes have now."""

    name: str
    hotkey: str = ""
    nodes: list[str] = []
    values: dict[str, Any] | None = None


class PresetApply(Operation[int]):
    """Set what a preset holds; how many values were set."""

    name: str


class PresetDelete(Operation[list[PresetRow]]):
    """Forget a preset."""

    name: str


class PresetImport(Operation[list[PresetRow]]):
    """Take presets of a file, as it has them: all or none."""

    presets: Any


class Defaults(Operation[None]):
    """Everything as the graph and the command line have it; presets stay."""


# -- between the supervisor and its processes, and between hosts ----------------------------------


class Hello(Operation[None]):
    """A process is there."""

    process: str
    pid: int


class Report(Operation[None]):
    """A process's figures."""

    process: str
    report: dict[str, Any]


class Failed(Operation[None]):
    """A process can't go on."""

    process: str
    text: str


class Event(Operation[None]):
    """Something that a person should know."""

    level: str
    text: str


class PeerRestarted(Operation[None]):
    """Another process was started anew: what it held is lost."""

    process: str


class ClockOffset(Operation[None]):
    """How far another host's clock is from this one's."""

    host: str
    offset_ns: int


class Clock(Operation[int]):
    """A host's monotonic time [ns]."""


# -- on the wire ----------------------------------------------------------------------------------


def op_of(kind: type[Operation[Any]]) -> str:
    """What a kind is called on the wire."""
    return str(kind.__struct_config__.tag)


def fields_of(operation: Operation[Any]) -> dict[str, Any]:
    """What goes over a wire beside its name."""
    return msgspec.structs.asdict(operation)


def answer_to(operation: Operation[Answer], answer: Any) -> Answer:
    """What came back, held to the type that was promised. Raises MienError."""
    (promised,) = get_args(type(operation).__orig_bases__[0])  # type: ignore[attr-defined]  # generic
    try:
        return msgspec.convert(answer, promised)  # type: ignore[no-any-return]  # of the type
    except msgspec.ValidationError as error:
        op = op_of(type(operation))
        raise MienError(f"the answer to '{op}' has another form: {error}") from None
