"""The page's newer modes, and what it draws of face and voice."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.engine import Engine
from tests.browser.page import LivePage
from tests.made_weights import make_weights

if TYPE_CHECKING:
    from playwright.sync_api import Browser

INK = """(id) => {
  const canvas = document.querySelector(`[data-course="${id}"]`);
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const columns = new Set();
  for (let i = 3; i < data.length; i += 4) if (data[i] > 200) columns.add(((i - 3) / 4) % width);
  return columns.size;
}"""
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


@pytest.fixture(scope="module")
def reading(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LivePage, Engine]]:
    """A started page at an engine that has made networks."""
    weights = make_weights(tmp_path_factory.mktemp("weights"))
    before = os.environ.get("MIEN_WEIGHTS")
    os.environ["MIEN_WEIGHTS"] = str(weights)
    try:
        engine = Engine()
    finally:
        if before is None:
            del os.environ["MIEN_WEIGHTS"]
        else:
            os.environ["MIEN_WEIGHTS"] = before
    try:
        with LivePage.opened(browser, engine.url) as page:
            page.start()
            yield page, engine
            page.assert_quiet()
    finally:
        engine.close()


def test_what_is_measured_is_drawn(reading: tuple[LivePage, Engine]) -> None:
    page, _ = reading
    page.page.wait_for_function("() => Number(document.documentElement.dataset.traces) > 25")
    page.wait("feltVoice", "happy")  # the made network calls every tone happy
    assert page.data("feltFace") in ("happy", "neutral")
    assert page.page.locator('[data-felt-name="voice"]').inner_text().lower() == "happy"
    assert page.page.locator("#felt-bars .felt-bar").count() == 8
    share = """name => document.querySelector(`[data-bar=${name}] .share-voice`)
      .style.getPropertyValue('--share')"""
    # What is felt is smoothed, so it takes its time.
    page.page.wait_for_function(f"name => Number(({share})(name)) > 0.9", arg="happy")
    page.page.wait_for_function(f"name => Number(({share})(name)) < 0.1", arg="sad")
    drawn = [page.page.evaluate(INK, name) for name in ("valence", "arousal", "intensity")]
    assert min(drawn) > 10
    assert "20 seconds" in page.page.locator("#traces-note").inner_text()


def test_traces_are_paced(reading: tuple[LivePage, Engine]) -> None:
    page, _ = reading
    before, began_s = int(page.data("traces")), time.monotonic()
    page.page.wait_for_function(
        "enough => Number(document.documentElement.dataset.traces) >= enough", arg=before + 20
    )
    assert time.monotonic() - began_s > 20 / 12, "no more than ten a second, or so"


def test_traces_are_said_in_words(reading: tuple[LivePage, Engine]) -> None:
    page, _ = reading
    page.page.wait_for_function(
        "() => document.querySelector('#felt-bars').getAttribute('aria-label').includes('percent')"
    )
    label = page.page.locator('[data-course="intensity"]').get_attribute("aria-label") or ""
    assert "Intensity over the last 20 seconds; now face" in label and "voice" in label


def test_more_or_less_of_me(reading: tuple[LivePage, Engine]) -> None:
    page, engine = reading
    page.page.locator('[data-mode-choice="scale"]').click()
    page.wait("mode", "scale")
    assert engine.wait(lambda: engine.value("editor", "mode") == "scale")
    slider = page.page.locator("#intensity")
    assert slider.get_attribute("max") == "2" and page.page.locator("#intensity-label").inner_text()
    slider.fill("1.6")
    assert engine.wait(lambda: engine.value("editor", "scale") == 1.6)
    assert page.page.locator("#intensity-value").inner_text() == "160 %"
    assert "More of your own" in page.page.locator("#mode-text").inner_text()
    slider.fill("0")
    assert engine.wait(lambda: engine.value("editor", "scale") == 0)
    assert "neutral" in page.page.locator("#mode-text").inner_text()
    page.page.locator("body").press("]")
    assert engine.wait(lambda: engine.value("editor", "scale") == 0.1)
    assert not page.emotion("happy").is_visible()
    slider.fill("1")
    page.wear_nothing()
    page.emotion("happy").wait_for(state="visible")


def test_follow_my_voice(reading: tuple[LivePage, Engine]) -> None:
    page, engine = reading
    page.page.locator("body").press("y")
    page.wait("mode", "voice")
    assert engine.wait(lambda: engine.value("editor", "mode") == "voice")
    page.page.locator("#intensity").fill("0.5")
    assert engine.wait(lambda: engine.value("editor", "voice_gain") == 0.5)
    page.more_frames(5)
    page.page.locator("body").press("n")
    assert engine.wait(lambda: engine.value("editor", "mode") == "emotion")


def test_the_renderer_is_chosen_on_the_page(reading: tuple[LivePage, Engine]) -> None:
    page, engine = reading
    page.page.locator("#d-advanced summary").click()
    field = page.page.locator('[data-parameter="compositor.renderer"]')
    for name, backend in (("warp", "warp"), ("faces", "OpenVINO")):
        field.select_option(name)

        def shown(backend: str = backend) -> bool:
            gauges = engine.call("metrics")["nodes"]["compositor"]["gauges"]
            return str(gauges["backend"]).startswith(backend)

        assert engine.wait(shown)
    page.page.locator("#d-advanced summary").click()
    page.more_frames(5)


@pytest.mark.parametrize(("width", "height"), [(360, 740), (820, 1100), (1280, 800)])
def test_it_fits_every_screen(
    reading: tuple[LivePage, Engine], width: int, height: int, tmp_path: Path
) -> None:
    page, _ = reading
    page.page.set_viewport_size({"width": width, "height": height})
    for mode in ("scale", "voice", "wear"):
        page.page.locator(f'[data-mode-choice="{mode}"]').click()
        assert page.page.evaluate(FITS), mode
    assert page.page.locator("#traces").is_visible()
    page.page.screenshot(path=tmp_path / f"{width}.png", full_page=True)
    page.page.set_viewport_size({"width": 1280, "height": 800})


def test_without_weights_the_page_says_why(live: LivePage, engine: Engine) -> None:
    status = engine.call("metrics")["nodes"]["face_reader"]["status"]
    note = live.page.locator("#traces-note")
    note.wait_for()
    lacking = status[0] == "degraded"
    assert ("no weight in" in note.inner_text()) == lacking
    live.page.locator('[data-mode-choice="scale"]').click()
    live.wait("mode", "scale")
    live.page.locator('[data-mode-choice="voice"]').click()
    live.wait("mode", "voice")
    said = live.page.locator("#mode-text").inner_text()
    assert ("isn't read" in said) == lacking, said
    live.wear_nothing()
