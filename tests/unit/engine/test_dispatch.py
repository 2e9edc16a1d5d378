"""What an engine is asked: read by type, answered by whoever said so, refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from engine import operations as ops
from engine.dispatch import Dispatcher
from engine.errors import MienError, UsageError
from engine.operations import answer_to, fields_of, op_of


def dispatcher() -> Dispatcher:
    made = Dispatcher("no page asks for {op}")
    made.on(ops.Set, lambda asked: asked.value)
    made.on(ops.Stop, lambda _: None)
    made.on_from(ops.Hello, lambda hello, sender: (hello.process, sender))
    return made


async def test_an_operation_comes_back_from_the_wire_as_it_was() -> None:
    asked = ops.Set("editor", "intensity", 0.5)
    assert op_of(ops.PresetSave) == "preset_save"
    again = dispatcher().read(op_of(ops.Set), fields_of(asked))
    assert again == asked and await dispatcher().call(again) == 0.5


async def test_a_handler_may_know_who_asks() -> None:
    hello: ops.Operation[Any] = ops.Hello("face", 7)
    assert await dispatcher().call(hello, b"worker") == ("face", b"worker")


async def test_a_handler_may_take_its_time() -> None:
    slow = Dispatcher()

    async def later(asked: ops.Set) -> str:
        return f"{asked.node} later"

    slow.on(ops.Set, later)
    assert await slow.call(ops.Set("editor", "mode", "off")) == "editor later"


@pytest.mark.parametrize(
    ("op", "fields", "says"),
    [
        ("stop", {"now": True}, "'stop': it takes nothing more"),
        ("set", {"node": "a"}, "'set': it takes node, parameter, value"),
        ("set", {"node": 1, "parameter": "b", "value": 1}, r"`str`, got `int` - at `\$.node`"),
        ("set", {"node": "a", "parameter": "b", "value": {}}, r"at `\$.value`"),
        ("restart", {"process": "face"}, "no page asks for 'restart'"),
        (["set"], {}, "no page asks for what has no name"),
        ("x" * 99, {}, f"no page asks for '{'x' * 40}'"),
    ],
)
def test_what_is_no_operation_here_is_refused(op: Any, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        dispatcher().read(op, fields)
    assert "\n" not in str(caught.value)


async def test_what_nobody_answers_is_refused_from_inside_too() -> None:
    with pytest.raises(UsageError, match="no page asks for 'metrics'"):
        await dispatcher().call(ops.Metrics())


def test_an_answer_is_held_to_what_was_promised() -> None:
    assert answer_to(ops.PresetApply("a"), 3) == 3
    assert answer_to(ops.Stop(), None) is None
    with pytest.raises(MienError, match="the answer to 'preset_apply' has another form"):
        answer_to(ops.PresetApply("a"), "three")
    with pytest.raises(MienError, match="the answer to 'presets' has another form"):
        answer_to(ops.Presets(), [{"name": "a"}])
