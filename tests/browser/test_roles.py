"""A graph whose nodes have names of their own: the page finds each by its role."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.browser.engine import REPOSITORY, Engine
from tests.browser.page import LivePage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES: Final = {
    "browser": "visitor", "tracker": "finder", "face_reader": "looker", "voice_reader": "listener",
    "feeling": "heart", "editor": "mood", "compositor": "painter", "out": "sender",
    "avatar": "puppet",
}  # fmt: skip


def renamed(text: str) -> str:
    """The live graph with other names for its nodes; roles, ports and classes stay."""
    word = re.compile(rf"\b({'|'.join(NAMES)})\b")
    lines = []
    for line in text.splitlines():
        key, equals, value = line.partition(" = ")
        if key == "set" or not equals:
            line = word.sub(lambda found: NAMES[found[0]], line)
        elif key != "type":
            line = key + equals + word.sub(lambda found: NAMES[found[0]], value)
        lines.append(line)
    return "\n".join(lines)


def test_the_page_finds_nodes_by_their_roles(browser: Browser, tmp_path: Path) -> None:
    graph = tmp_path / "mine.toml"
    graph.write_text(renamed((REPOSITORY / "graphs/live.toml").read_text()))
    engine = Engine(graph=graph, out=NAMES["out"])
    try:
        nodes = engine.call("parameters").keys()
        assert set(NAMES.values()) <= nodes and not nodes & NAMES.keys()
        with LivePage.opened(browser, engine.url) as page:
            page.start()
            page.emotion("happy").click()
            page.wait("emotion", "happy")
            assert engine.wait(lambda: engine.value("mood", "emotion") == "happy", 5)
            page.page.locator("body").press("m")
            assert engine.wait(lambda: engine.value("sender", "mute"), 5)
            page.page.locator("#d-advanced summary").click()
            legend = page.page.locator('fieldset[data-node="painter"] legend')
            assert legend.inner_text() == "Drawing the face"
            field = page.page.locator('[data-parameter="mood.mode"]')
            assert "wear an emotion" in field.inner_text()
            page.page.wait_for_function(
                "() => Number(document.documentElement.dataset.latency) > 0"
            )
            page.page.screenshot(path=tmp_path / "roles.png", full_page=True)
            page.assert_quiet()
    finally:
        assert engine.close() == 0
