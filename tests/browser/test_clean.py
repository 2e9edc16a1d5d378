"""``?watch&clean``: the avatar and its sound by itself, and nothing else, in either browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from engine.types import U8
from tests.browser.engine import Engine
from tests.browser.firefox import Firefox
from tests.browser.page import LivePage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WIDE = {"width": 1200, "height": 480}  # the picture, 4:3, leaves 280 px free on either side
SOUNDS = "() => { const it = document.querySelector('#avatar'); return !it.muted && !it.paused; }"


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    running = Firefox(tmp_path_factory.mktemp("firefox"))
    yield running
    running.close()


def read(path: Path) -> U8:
    """A screenshot [H, W, channels]: BGR, and alpha where it has some."""
    import cv2

    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def test_it_plays_by_itself_on_nothing(
    live: LivePage, browser: Browser, engine: Engine, tmp_path: Path
) -> None:
    with LivePage.opened(browser, engine.url + "?watch&clean", viewport=WIDE) as clean:
        clean.wait("state", "live")
        clean.more_frames(3)
        clean.page.screenshot(path=tmp_path / "clean.png", omit_background=True)
        shot = read(tmp_path / "clean.png")
        assert shot.shape == (480, 1200, 4)
        assert not shot[:, :278, 3].any() and not shot[:, 922:, 3].any()
        assert (shot[:, 282:918, 3] == 255).all()
        assert shot[:, 282:918, :3].std() > 20  # a picture
        if not clean.page.evaluate(f"({SOUNDS})()"):  # this browser wants a gesture first
            assert clean.page.evaluate("!document.querySelector('#avatar').paused")
            clean.page.mouse.click(600, 240)
        clean.page.wait_for_function(SOUNDS)
        assert (
            clean.page.evaluate("document.querySelector('#avatar').srcObject.getTracks().length")
            == 2
        )
        clean.assert_quiet()


@pytest.mark.parametrize(("asked", "bgr"), [("%2300aa44", (68, 170, 0)), ("tomato", (71, 99, 255)),
                                            ("0af", (255, 170, 0))])  # fmt: skip
def test_on_a_colour(
    live: LivePage, browser: Browser, engine: Engine, tmp_path: Path, asked: str,
    bgr: tuple[int, int, int],
) -> None:  # fmt: skip
    url = f"{engine.url}?watch&clean&background={asked}"
    with LivePage.opened(browser, url, viewport=WIDE, color_scheme="dark") as clean:
        clean.wait("state", "live")
        clean.page.screenshot(path=tmp_path / "clean.png")
        shot = read(tmp_path / "clean.png")
        assert (shot[:, :278, :3] == bgr).all() and (shot[:, 922:, :3] == bgr).all()
        clean.assert_quiet()


def test_in_firefox(live: LivePage, firefox: Firefox, engine: Engine, tmp_path: Path) -> None:
    page = firefox.page(engine.url + "?watch&clean&background=00aa44", **WIDE)
    page.wait("document.documentElement.dataset.frames > 3")
    page.wait(f"({SOUNDS})()")
    page.screenshot(tmp_path / "firefox.png")
    shot = read(tmp_path / "firefox.png")
    assert (shot[:, :278, :3] == (68, 170, 0)).all() and (shot[:, 922:, :3] == (68, 170, 0)).all()
    assert shot[:, 282:918, :3].std() > 20
    assert firefox.complaints == []
    page.close()


def test_a_refused_camera_is_said(playwright: object, browser: Browser, engine: Engine) -> None:
    """A clean page that sends has somebody in front of it, who can fix what is wrong."""
    with LivePage.opened(browser, engine.url) as opener:
        page = opener.page.context.new_page()
        page.add_init_script(
            "navigator.mediaDevices.getUserMedia = () =>"
            " Promise.reject(new DOMException('made up', 'NotAllowedError'));"
        )
        page.goto(engine.url + "?clean")
        page.locator("#veil-title", has_text="isn't allowed").wait_for()
        assert page.locator("#veil").is_visible() and not page.locator("#start").is_visible()
