"""Two faces before the camera: the page says which is changed and lets the other be chosen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from tests.browser.engine import Engine
from tests.browser.page import LivePage
from tests.faces import astronaut
from tests.made_media import make_video

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WITHIN_MS = 60_000


def gauges(engine: Engine) -> dict[str, Any]:
    found: dict[str, Any] = engine.call("metrics")["nodes"]["tracker"]["gauges"]
    return found


def test_one_of_two_faces_is_chosen(browser: Browser, tmp_path: Path) -> None:
    head = np.ascontiguousarray(astronaut()[:300, 75:375])
    both = np.full((300, 600, 3), 60, np.uint8)
    both[:, 300:] = head
    both[30:270, 30:270] = cv2.resize(head, (240, 240), interpolation=cv2.INTER_AREA)
    film = make_video(tmp_path / "two.mp4", [both] * 50)
    engine = Engine("--no-settings", "--camera", str(film))
    try:
        with LivePage.opened(browser, engine.url) as opened:
            page = opened.page
            row = page.locator("#faces-row")
            row.wait_for(state="visible", timeout=WITHIN_MS)
            assert row.locator("span").inner_text() == "2 faces are seen; changed is"
            chosen = page.locator("#faces-follow")
            assert chosen.input_value() == "largest"
            # As in a mirror: what the camera has at its left is at the right here.
            chosen.select_option(label="the one at the right")
            assert chosen.input_value() == "left"
            assert engine.wait(lambda: engine.value("tracker", "follow") == "left")
            assert engine.wait(
                lambda: engine.call("metrics")["nodes"]["tracker"]["gauges"]["followed"] == "left"
            )
            page.screenshot(path=str(tmp_path / "two.png"))
            opened.assert_quiet()
    finally:
        engine.close()
