"""What goes wrong: devices refused, missing, busy, pulled out; tabs closed; the engine killed."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import QUIET, find_chromium
from tests.browser.engine import Engine
from tests.browser.page import LivePage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

REFUSE = """() => {
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("made up", "%s"));
}"""


def test_refused_permission_is_said_in_words(playwright: Playwright, engine: Engine) -> None:
    strict = playwright.chromium.launch(
        executable_path=find_chromium(), args=[*QUIET, "--use-fake-ui-for-media-stream=deny"]
    )
    try:
        with LivePage.opened(strict, engine.url) as page:
            page.page.locator("#start").click()
            page.wait("state", "trouble")
            assert "isn't allowed" in page.page.locator("#veil-title").inner_text()
            assert "allow camera and microphone" in page.page.locator("#veil-text").inner_text()
            assert page.page.locator("#veil-action").inner_text() == "Try again"
            assert page.page.locator("#status-text").inner_text() == "The camera isn't allowed"
            page.assert_quiet()
    finally:
        strict.close()


@pytest.mark.parametrize(
    ("error", "title", "hint"),
    [
        ("NotFoundError", "No camera found", "Plug a camera in"),
        ("NotReadableError", "The camera is busy", "Another program or tab holds it"),
        ("OverconstrainedError", "can't do this", "another resolution"),
    ],
)
def test_camera_that_fails_and_comes_back(
    page: LivePage, error: str, title: str, hint: str
) -> None:
    page.page.evaluate(REFUSE % error)
    page.page.locator("#veil-action").click()
    page.wait("state", "trouble")
    assert title in page.page.locator("#veil-title").inner_text()
    assert hint in page.page.locator("#veil-text").inner_text()
    page.page.evaluate("delete navigator.mediaDevices.getUserMedia")
    page.page.locator("#veil-action").click()
    page.wait("state", "live")


def test_unplugged_camera_comes_back_by_itself(page: LivePage) -> None:
    page.start()
    page.page.evaluate(
        """() => {
          const track = document.querySelector("#self").srcObject.getVideoTracks()[0];
          track.stop();
          track.dispatchEvent(new Event("ended"));
        }"""
    )
    page.wait("state", "trouble")
    assert "Plug it in again" in page.page.locator("#veil-text").inner_text()
    page.page.evaluate("() => void navigator.mediaDevices.dispatchEvent(new Event('devicechange'))")
    page.wait("state", "live")
    page.more_frames(10)
    assert page.data("reconnects") == "0"


def test_a_second_page_takes_over_and_the_first_gives_way(
    page: LivePage, browser: Browser, engine: Engine
) -> None:
    page.start()
    with LivePage.opened(browser, engine.url) as second:
        second.start()
        page.wait("state", "trouble")
        assert "took over" in page.page.locator("#veil-title").inner_text()
        second.more_frames(10)
        second.wait("state", "live")
        assert second.data("reconnects") == "0"
        second.assert_quiet()


@pytest.mark.parametrize("way", ["navigate", "close"])
def test_closing_the_tab_frees_the_session(browser: Browser, engine: Engine, way: str) -> None:
    with LivePage.opened(browser, engine.url) as page:
        page.start()
        assert engine.wait(lambda: engine.peers() == (True, 1))
        if way == "navigate":
            page.page.goto("about:blank")
        else:
            page.page.close(run_before_unload=True)
        assert engine.wait(lambda: engine.peers() == (False, 0)), engine.peers()


def test_stop_frees_the_session_and_the_camera(page: LivePage, engine: Engine) -> None:
    page.start()
    page.page.locator("#start").click()
    page.wait("state", "idle")
    assert engine.wait(lambda: engine.peers() == (False, 0)), engine.peers()
    assert page.page.evaluate("document.querySelector('#self').srcObject") is None


def test_killed_network_process_and_the_page_is_back(browser: Browser, engine: Engine) -> None:
    with LivePage.opened(browser, engine.url) as page:
        page.start()
        page.page.evaluate("window.asked = 0")
        page.page.evaluate(
            """() => {
              const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
              navigator.mediaDevices.getUserMedia = (...a) => (window.asked += 1, ask(...a));
            }"""
        )
        os.kill(engine.call("metrics")["processes"]["net"]["pid"], signal.SIGKILL)
        page.wait("state", "reconnecting")
        page.page.locator("body").press("7")  # chosen while nobody listens, sent when they do
        page.page.wait_for_function(
            """() => Number(document.documentElement.dataset.reconnects) > 0
                 && ["live", "restarted"].includes(document.documentElement.dataset.state)"""
        )
        page.more_frames(5)
        assert page.page.evaluate("window.asked") == 0
        assert int(page.data("restarts")) >= 1
        assert engine.wait(lambda: engine.value("editor", "emotion") == "sad")


def test_killed_face_process_is_told_on_the_picture(page: LivePage, engine: Engine) -> None:
    page.start()
    os.kill(engine.call("metrics")["processes"]["face"]["pid"], signal.SIGKILL)
    badge = page.page.locator('.badge[data-badge="restarted"]')
    badge.filter(has_text="“Face” restarted").wait_for()
    page.more_frames(5)
    assert page.data("reconnects") == "0"
