"""References over HTTP: read and gone, worn by share, refused in a line; changed within 300 ms."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from engine.errors import MienError
from face.types import EMOTIONS, FaceEdit, FaceTrack, ReferenceTrack
from nodes.face.expression_editor import ExpressionEditor
from nodes.web import references
from nodes.web.operations import Wear, Worn
from nodes.web.references import References
from nodes.web.server import STATIC
from tests.faces import FRAME_NS, seen_astronaut
from tests.loopback.conftest import Start
from tests.loopback.rig import until

SMILE, WONDER = (STATIC / "references" / f"{name}.jpg" for name in ("smile", "wonder"))
HAPPY, SURPRISED = EMOTIONS.index("happy"), EMOTIONS.index("surprised")


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def post(url: str, content: bytes, name: str = "a%20b.jpg") -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + "/reference", data=content, headers={"X-Name": name}) as answer,
    ):
        as_json = answer.content_type == "application/json"
        return answer.status, await (answer.json() if as_json else answer.text())


async def test_references_are_read_worn_and_changed(
    web: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pair = await web()
    engine = pair.engine
    node: Any = await engine.add("reference", References)
    said = engine.emitted["reference.reference"]
    assert node._reader is None  # nothing is loaded before the first
    status, smile = await post(pair.url, SMILE.read_bytes())
    assert status == 200
    assert (smile["name"], smile["emotion"], smile["steps"]) == ("a b.jpg", "happy", 1)
    assert not left_in(tmp_path)
    assert not said
    call = node._server.page.call
    assert [one["id"] for one in await call(Wear({smile["id"]: 1.0}))] == [smile["id"]]

    # Another one, while it runs: from its bytes to an edit that asks for it.
    editor = ExpressionEditor(ExpressionEditor.Config(mode="reference", reference_gain=1.5))
    editor.setup()
    first = said[-1]
    assert isinstance(first, ReferenceTrack)
    editor.on_reference(first)
    engine.wire("reference.reference", editor.on_reference)
    begun_ns = time.monotonic_ns()
    for index in range(3):
        edit_at(editor, begun_ns + index * FRAME_NS)
    changed_ns = time.monotonic_ns()
    _, wonder = await post(pair.url, WONDER.read_bytes(), "wonder.jpg")
    await call(Wear({wonder["id"]: 1.0}))
    await asyncio.sleep(0)  # as it crosses to the editor
    sent_ms = (time.monotonic_ns() - changed_ns) / 1e6
    shown = [edit_at(editor, begun_ns + (3 + index) * FRAME_NS) for index in range(9)]
    wanted = said[-1]
    assert isinstance(wanted, ReferenceTrack)
    there = [edit.expression[SURPRISED] > 1.35 * wanted.expression[0, SURPRISED] for edit in shown]
    eased_ms = there.index(True) * FRAME_NS / 1e6
    print(f"read in {sent_ms:.0f} ms, nine tenths there {eased_ms:.0f} ms later")
    assert eased_ms < 200

    # Blended, by share; what isn't known or too many is refused and changes nothing.
    await call(Wear({smile["id"]: 1.0, wonder["id"]: 0.5}))
    assert [(one["name"], one["share"]) for one in await call(Worn())] == [
        ("a b.jpg", 1.0), ("wonder.jpg", 0.5)
    ]  # fmt: skip
    for shares in ({"r99": 1.0}, {smile["id"]: 0.0}, {f"r{n}": 1.0 for n in range(5)}):
        with pytest.raises(MienError):
            await call(Wear(shares))
    assert len(await call(Worn())) == 2
    await call(Wear({}))
    assert not len(said[-1].shapes)  # type: ignore[attr-defined]  # a ReferenceTrack


def edit_at(editor: ExpressionEditor, capture_ns: int) -> FaceEdit:
    face = seen_astronaut()
    return editor.process(
        FaceTrack(
            capture_ns=capture_ns,
            found=True,
            landmarks=face.landmarks,
            blendshapes=face.rig,
            pose=np.eye(4, dtype=np.float32),
        )
    )


async def test_what_cannot_be_worn_is_refused_in_a_line(
    web: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(references, "UPLOAD_MOST", 20_000)
    pair = await web()
    assert (await post(pair.url, b"x"))[0] == 503
    await pair.engine.add("reference", References)
    for content, status, words in (
        (b"", 422, "that was empty"),
        (b"no picture", 422, "a b.jpg is no picture that can be read"),
        (bytes(20_001), 413, "a b.jpg has over"),
    ):
        answered, text = await post(pair.url, content)
        assert answered == status
        assert text.startswith(words)

    async def pieces() -> Any:
        for _ in range(30):
            yield bytes(1000)
            await asyncio.sleep(0)

    async with (
        aiohttp.ClientSession() as session,
        session.post(pair.url + "/reference", data=pieces()) as answer,
    ):
        assert answer.status == 413
    assert not left_in(tmp_path)
    monkeypatch.setattr(references, "AT_ONCE_MOST", 0)
    assert (await post(pair.url, b"x"))[0] == 503


async def test_what_is_worn_from_the_start_is_said_again(
    web: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "AGAIN_S", 0.01)
    pair = await web()
    await pair.engine.add("reference", References, path=f"{SMILE}:0.5\n{WONDER}")
    said = pair.engine.emitted["reference.reference"]
    first = said[0]
    assert isinstance(first, ReferenceTrack)
    assert first.expression[0, SURPRISED] > first.expression[0, HAPPY] > 0
    await until(lambda: len(said) > 2, "what is worn is said again")
    assert {one.capture_ns for one in said} == {first.capture_ns}
