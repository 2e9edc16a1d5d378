"""A second real browser: Firefox publishes, views, wears an emotion and leaves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.engine import Engine
from tests.browser.firefox import Firefox, Page

HELD = "document.documentElement.dataset"


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    running = Firefox(tmp_path_factory.mktemp("firefox"))
    yield running
    running.close()


@pytest.fixture
def page(firefox: Firefox, engine: Engine) -> Iterator[Page]:
    opened = firefox.page(engine.url)
    opened.wait(f"{HELD}.line === 'up'")
    yield opened
    opened.close()


def test_publish_view_slider_close(
    page: Page, firefox: Firefox, engine: Engine, tmp_path: Path
) -> None:
    page.click("#start")
    page.wait(f"{HELD}.frames > 10 && document.querySelector('#avatar').videoWidth === 640")
    page.wait(f"{HELD}.state === 'lost'")  # Firefox's made camera is a plain colour
    assert engine.wait(lambda: engine.peers() == (True, 1))  # who viewed before is gone
    session = engine.call("metrics")["session"]
    assert session["whep"]["codecs"] == ["VP8"]  # it has no H.264 without a download
    assert (session["session"]["width"], session["session"]["height"]) == (640, 480)

    page.click("#hear")
    before = page.evaluate("document.querySelector('#avatar').currentTime")
    page.wait(f"document.querySelector('#avatar').currentTime > {before} + 0.5")
    heard = page.received("audio").get("totalAudioEnergy", 0)
    assert engine.wait(lambda: page.received("audio").get("totalAudioEnergy", 0) > heard)

    page.click('#emotions [data-emotion="happy"]')
    page.wait(f"{HELD}.emotion === 'happy'")
    page.evaluate(
        "(() => { const it = document.querySelector('#intensity'); it.value = 0.4;"
        "it.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )
    assert engine.wait(lambda: engine.value("editor", "intensity") == 0.4)
    page.screenshot(tmp_path / "firefox.png")
    page.click('#emotions [data-emotion="neutral"]')
    assert engine.wait(lambda: engine.value("editor", "emotion") == "neutral")
    assert firefox.complaints == []

    page.click("#start")
    assert engine.wait(lambda: engine.peers() == (False, 0)), engine.peers()


def test_closing_the_tab_frees_the_places(firefox: Firefox, engine: Engine) -> None:
    page = firefox.page(engine.url)
    page.wait(f"{HELD}.line === 'up'")
    page.click("#start")
    page.wait(f"{HELD}.frames > 0")
    page.close()
    assert engine.wait(lambda: engine.peers() == (False, 0)), engine.peers()


def test_a_viewer_alone_hides_its_addresses_and_connects(firefox: Firefox, engine: Engine) -> None:
    """Without a camera Firefox names its addresses by mDNS alone."""
    page = firefox.page(engine.url + "?watch")
    page.wait(
        f"{HELD}.line === 'up' && document.querySelector('#start').innerText.includes('Watch')"
    )
    page.click("#start")
    page.wait("document.querySelector('#avatar').videoWidth > 0")
    page.close()
    assert engine.wait(lambda: engine.peers() == (False, 0)), engine.peers()
