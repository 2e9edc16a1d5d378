"""aiortc's private parts: what is used is listed with its reason, and is as it was tried."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import tomllib
from pathlib import Path

import pytest

from nodes.web import private
from nodes.web.private import HOOKS, TRIED

ROOT = Path(__file__).resolve().parents[4]
SEEN = {
    "codecs.h264": "f0d2a8640c625324",
    "codecs.vpx": "a1e9b5f1df9034ec",
    "rtcdtlstransport": "4ce8aa9051d42ef1",
    "rtcicetransport": "998b296fa8c2917e",
    "rtcpeerconnection": "914fa8d7fdc96102",
    "rtcrtpreceiver": "d8115558bc1c05d7",
    "rtcrtpsender": "f90cef75d1f58cbe",
    "rtcrtptransceiver": "c88f0500173d9c86",
}
"""the files of aiortc that were looked at, by the first half of their SHA-256"""


def source(module: str) -> bytes:
    file = importlib.import_module(f"aiortc.{module}").__file__
    assert file is not None
    return Path(file).read_bytes()


def test_only_the_version_that_was_tried_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    major, minor = TRIED.split(".")
    assert f"aiortc>={TRIED},<{major}.{int(minor) + 1}" in project["dependencies"]
    assert importlib.metadata.version("aiortc").startswith(f"{TRIED}.")


@pytest.mark.parametrize("module", sorted(SEEN))
def test_aiortc_is_as_it_was_when_it_was_looked_at(module: str) -> None:
    text = source(module)
    hooks = [hook for hook in HOOKS if hook.module == module]
    gone = [f"{hook.owner}.{hook.name}" for hook in hooks if hook.name.encode() not in text]
    assert not gone
    look = "\n".join(f"  {hook.owner}.{hook.name}: {hook.why}" for hook in hooks)
    assert hashlib.sha256(text).hexdigest()[:16] == SEEN[module], (
        f"aiortc.{module} is another than the one that was looked at. See whether this still "
        f"holds, then note its hash:\n{look}"
    )


def foreign_names() -> set[str]:
    """The private names that `nodes/web` uses of others' objects."""
    own, used = set(), set()
    for path in (ROOT / "nodes" / "web").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name("private" | "get_private" | "set_private")):
                    if isinstance(node.args[1], ast.Constant):
                        used.add(f"__{node.args[1].value!s}")
                case ast.Attribute(value=ast.Name("self" | "cls"), attr=name):
                    own.add(name)
                case ast.FunctionDef(name=name):
                    own.add(name)
                case ast.Attribute(attr=name) if name.startswith("_") and not name.endswith("__"):
                    used.add(name)
    assert len(own) > 100
    return used - (own - {hook.name for hook in HOOKS})


def test_each_has_its_reason_in_one_place_and_none_is_left_over() -> None:
    assert {hook.name for hook in HOOKS} == foreign_names()
    assert {hook.module for hook in HOOKS} == set(SEEN)
    assert all(len(hook.why) > 15 for hook in HOOKS)


def test_what_is_gone_is_missed_in_words() -> None:
    with pytest.raises(AttributeError, match=rf"no 'nothing': install aiortc {TRIED}"):
        private.get_private(HOOKS, "nothing")
