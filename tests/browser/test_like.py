"""Like this: references dropped, pasted and chosen on the page, blended, refused in a line."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.web.server import STATIC
from tests.browser.engine import Engine
from tests.browser.page import LivePage

FACES = STATIC / "references"
GIVE = """([way, name, type, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const held = new DataTransfer();
  held.items.add(new File([bytes], name, { type }));
  const how = { bubbles: true, cancelable: true };
  const event = way === "drop" ? new DragEvent("drop", { ...how, dataTransfer: held })
    : new ClipboardEvent("paste", { ...how, clipboardData: held });
  document.body.dispatchEvent(event);
}"""


def give(page: LivePage, way: str, name: str, content: bytes, kind: str = "image/jpeg") -> None:
    page.page.evaluate(GIVE, [way, name, kind, base64.b64encode(content).decode()])


def worn(engine: Engine) -> list[tuple[str, float]]:
    return [(one["name"], one["share"]) for one in engine.call("worn")]


@pytest.fixture
def liked(page: LivePage, engine: Engine) -> Iterator[LivePage]:
    """A page in its mode; it wears nothing, and nothing is worn after it."""
    page.page.locator('[data-mode-choice="like"]').click()
    page.wait("mode", "like")
    yield page
    engine.call("wear", shares={})
    engine.call("set", node="editor", parameter="mode", value="emotion")


def test_a_picture_is_worn_however_it_comes(liked: LivePage, engine: Engine) -> None:
    give(liked, "drop", "her.jpg", (FACES / "sorrow.jpg").read_bytes())
    liked.wait("worn", "sad")
    give(liked, "paste", "him.jpg", (FACES / "smile.jpg").read_bytes())
    liked.wait("worn", "happy")
    liked.page.set_input_files("#like-file", FACES / "wonder.jpg")
    liked.wait("worn", "surprised")
    assert worn(engine) == [("wonder.jpg", 1.0)]
    assert engine.value("editor", "mode") == "reference"
    assert liked.page.locator("#like-row").is_visible()
    assert liked.page.locator("#intensity").get_attribute("max") == "1.5"


def test_the_gallery_blends_and_what_is_left_out_goes(liked: LivePage, engine: Engine) -> None:
    faces = liked.page.locator("#like-gallery [data-like]")
    assert faces.count() == 8
    liked.page.locator('[data-like="smile"]').click()
    liked.wait("worn", "happy")
    liked.page.locator("#like-add").check()
    liked.page.locator('[data-like="sorrow"]').click()
    liked.wait("worn", "happy sad")
    share = liked.page.get_by_label("Share of sorrow.jpg")
    share.fill("0.25")
    assert engine.wait(lambda: worn(engine) == [("smile.jpg", 1.0), ("sorrow.jpg", 0.25)])
    liked.page.get_by_label("Leave out smile.jpg").click()
    liked.wait("worn", "sad")
    assert worn(engine) == [("sorrow.jpg", 0.25)]
    assert liked.page.locator('[data-like="sorrow"]').get_attribute("aria-pressed") == "true"


def test_what_cannot_be_read_is_said_and_nothing_changes(liked: LivePage, engine: Engine) -> None:
    liked.page.locator('[data-like="smile"]').click()
    liked.wait("worn", "happy")
    wall = liked.page.evaluate(
        """() => { const wall = document.createElement("canvas");
        wall.getContext("2d").fillRect(0, 0, 300, 150); return wall.toDataURL("image/png") }"""
    )
    give(liked, "drop", "wall.png", base64.b64decode(wall.partition(",")[2]), "image/png")
    error = liked.page.locator("#face-error", has_text="no face in wall.jpg")
    error.wait_for()
    give(liked, "drop", "broken.mp4", b"no film", "video/mp4")
    liked.page.locator("#face-error", has_text="cannot read broken.mp4").wait_for()
    assert worn(engine) == [("smile.jpg", 1.0)]
    assert all("422" in line for line in liked.complaints)  # as browsers note what is refused
    liked.complaints.clear()


def test_a_kept_reference_stays_in_this_browser(liked: LivePage, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jpg"
    mine.write_bytes((FACES / "anger.jpg").read_bytes())
    liked.page.set_input_files("#like-file", mine)
    liked.wait("worn", "angry")
    liked.page.get_by_role("button", name="Keep").click()
    liked.page.locator('[data-like="mine.jpg"]').wait_for()
    liked.page.reload()
    liked.wait("worn", "angry")  # the engine still wears it
    liked.page.locator('[data-like="mine.jpg"]').wait_for()
    liked.page.get_by_label("Forget mine.jpg").click()
    assert liked.page.locator("#like-gallery [data-like]").count() == 8
