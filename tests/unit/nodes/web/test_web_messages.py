"""What a page says is checked before anything is done; what it is told every browser can read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine import operations as ops
from nodes.web.messages import BadRequestError, parse_request, to_json
from nodes.web.server import WebServer

PAGE = WebServer().page


def test_a_request_is_taken_apart() -> None:
    text = '{"id": 7, "op": "set", "node": "editor", "parameter": "intensity", "value": 0.5}'
    assert parse_request(text, PAGE) == (7, ops.Set("editor", "intensity", 0.5))


def test_presets_hold_values_by_node() -> None:
    presets = [
        {"name": "a", "hotkey": "", "values": {"editor": {"intensity": 0.5, "mode": "wear"}}}
    ]
    text = json.dumps({"id": 7, "op": "preset_import", "presets": presets})
    assert parse_request(text, PAGE) == (7, ops.PresetImport(presets))


SET: dict[str, Any] = {"id": 7, "op": "set", "node": "editor", "parameter": "intensity"}


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ("", None, "send"),
        ("[]", None, "send"),
        ("3", None, "send"),
        ("null", None, "send"),
        ("[" * 50_000, None, "send"),
        ('{"id":' * 10_000, None, "send"),
        ("9" * 60_000, None, "send"),
        ('{"id": [1], "op": "set"}', None, "an id"),
        ('{"id": Infinity, "op": "set"}', None, "an id"),
        ('{"id": 1, "op": "record"}', 1, "'record'"),
        ('{"id": 1, "op": ["set"]}', 1, "no name"),
        ('{"id": 1, "op": {"a": 1}}', 1, "no name"),
        ('{"id": 1, "op": "metrics", "timeout_s": 1e9}', 1, "nothing more"),
        ('{"id": 1, "op": "restart"}', 1, "it takes process"),
        (json.dumps({**SET, "value": 1, "to": "x"}), 7, "node, parameter, value"),
        (json.dumps({**SET, "value": float("inf")}), 7, "value holds what is no"),
        (json.dumps({**SET, "value": float("nan")}), 7, "value holds what is no"),
        ('{"id": 1, "op": "restart", "process": 1e999}', 1, "process holds what is no"),
        (json.dumps({**SET, "value": "\ud800"}), 7, "value holds what is no"),
        (json.dumps({**SET, "value": 1 << 64}), 7, "value holds what is no"),
        (json.dumps({**SET, "value": [[[[[[[[1]]]]]]]]}), 7, "value holds what is no"),
        (json.dumps({**SET, "value": {"\ud800": 1}}), 7, "value holds what is no"),
        ('{"id": 1, "op": "preset_save", "timeout_s": 9}', 1, "it takes name"),
        ('{"id": 1, "op": "restart", "process": 7}', 1, "process"),
        (json.dumps({**SET, "value": [1]}), 7, "value"),
    ],
)
def test_what_is_no_request_is_said(text: str, number: int | None, words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as caught:
        parse_request(text, PAGE)
    assert caught.value.number == number
    assert "\n" not in str(caught.value)


def test_numbers_that_json_has_no_word_for_become_null() -> None:
    value = {"a": [1.5, float("nan")], "b": {"c": float("-inf")}, "d": "\ud800", "e": (2,)}
    found = json.loads(to_json(value), parse_constant=pytest.fail)
    assert found == {"a": [1.5, None], "b": {"c": None}, "d": "\ud800", "e": [2]}
