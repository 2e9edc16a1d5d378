"""The page at work: it connects, the face obeys, the figures live, files come out."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.types import F32
from tests.browser.engine import Engine
from tests.browser.fake_camera import FACE, MARK_ROW, SCENERY
from tests.browser.page import LivePage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SETTLE_FRAMES = 25  # a change takes 0.2 s, its end is smoothed


def difference(first: F32, second: F32, region: tuple[slice, slice]) -> float:
    """Mean absolute difference of a region, in grey levels."""
    return float(np.abs(first[region] - second[region]).mean())


def mark_column(picture: F32) -> float:
    """Where the sweeping mark is."""
    row = picture[MARK_ROW - 4 : MARK_ROW + 4].mean(axis=(0, 2))
    return float(np.average(np.arange(row.size), weights=np.clip(row - 100, 0, None) + 1e-6))


def has(engine: Engine, name: str, value: str | float) -> bool:
    return bool(engine.value("editor", name) == value)


def settled(page: LivePage, engine: Engine, **values: str | float) -> None:
    """Until the editor has these values, and so many pictures have come since."""
    for name, value in values.items():
        assert engine.wait(partial(has, engine, name, value))
    page.more_frames(SETTLE_FRAMES)


def test_pictures_come_back_whole_and_moving(live: LivePage) -> None:
    before = live.frames()
    columns = []
    for _ in range(8):
        picture = live.grab()
        assert picture.shape == (480, 640, 3)
        columns.append(mark_column(picture))
        live.more_frames(2)
    assert len({round(column / 10) for column in columns}) >= 4, columns
    assert live.frames() - before >= 8
    assert live.data("size") == "640×480"


def test_emotion_and_intensity_change_the_face_alone(live: LivePage, engine: Engine) -> None:
    intensity = live.page.locator("#intensity")

    def wear(emotion: str, amount: str) -> F32:
        live.emotion(emotion).click()
        if emotion != "neutral":
            intensity.fill(amount)
            settled(live, engine, emotion=emotion, intensity=float(amount))
        else:
            settled(live, engine, emotion=emotion)
        return live.mean_grab()

    neutral = wear("neutral", "")
    again = live.mean_grab()
    strong = wear("surprised", "1")
    weak = wear("surprised", "0.3")
    noise = max(difference(neutral, again, FACE), 0.2)
    changed = difference(neutral, strong, FACE)
    assert changed > 4 * noise, (changed, noise)
    assert changed > 1.5
    assert difference(neutral, weak, FACE) < 0.7 * changed
    scenery = difference(neutral, strong, SCENERY)
    assert scenery < changed / 4, (scenery, changed)
    assert live.emotion("surprised").get_attribute("aria-checked") == "true"
    assert live.emotion("neutral").get_attribute("aria-checked") == "false"


def test_off_gives_the_own_face_back(live: LivePage, engine: Engine) -> None:
    live.wear_nothing()
    settled(live, engine, emotion="neutral")
    neutral = live.mean_grab()
    live.page.locator('[data-mode-choice="off"]').click()
    settled(live, engine, mode="off")
    off = live.mean_grab()
    live.page.locator("#d-devices summary").click()
    live.page.locator("#pass").click()
    live.wait("state", "passing")
    assert "Passing through" in live.page.locator(".badge").inner_text()
    live.more_frames(SETTLE_FRAMES)
    passed = live.mean_grab()
    live.page.locator("#pass").click()
    live.wait("state", "live")
    live.page.locator("#d-devices summary").click()
    # She smiles: neutral takes that away, off and pass-through don't.
    assert difference(neutral, off, FACE) > 3 * difference(off, passed, FACE)


def test_strip_shows_figures(live: LivePage, engine: Engine) -> None:
    live.page.wait_for_function(
        """() => ["fps", "latency", "latencyP95", "drift"].every(
          (name) => document.documentElement.dataset[name]) &&
          Number(document.documentElement.dataset.fps) > 5"""
    )
    text = live.page.locator("#figures").inner_text()
    assert 1 < float(live.data("latency")) < 1000
    assert float(live.data("latencyP95")) >= float(live.data("latency"))
    assert abs(float(live.data("drift"))) < 1000
    assert re.search(r"\d+ ms · 95 % under \d+", text.replace("\n", " ")), text
    assert re.search(r"\d+\.\d", text), text
    live.page.locator("#d-engine summary").click()
    bars = live.page.locator(".node .bar")
    bars.first.wait_for()
    assert bars.count() == len(engine.call("graph")["nodes"])
    assert "ms" in live.page.locator('[data-node="tracker"] .node-time').inner_text()
    assert re.search(r"pid \d+", live.page.locator('[data-process="face"]').inner_text())
    live.page.locator("#d-engine summary").click()


def test_first_view_tells_the_microphone_and_the_device(live: LivePage) -> None:
    levels = set[str | None]()
    while len(levels) < 5:  # the tone swells and fades
        levels.add(live.page.locator("#meter").get_attribute("aria-valuenow"))
        live.page.wait_for_function(
            "last => document.querySelector('#meter').getAttribute('aria-valuenow') !== last",
            arg=live.page.locator("#meter").get_attribute("aria-valuenow"),
        )
    live.wait("microphone", "heard")
    live.page.locator("#mute").click()
    live.wait("microphone", "muted")
    assert live.page.locator("#meter-word").inner_text() == "muted"
    live.page.locator("#mute").click()
    live.wait("microphone", "heard")
    device = live.page.locator("#figure-device")
    assert device.inner_text() not in ("", "–")
    for shown in (live.page.locator("#meter"), device):
        box = shown.bounding_box()
        assert box is not None and box["y"] + box["height"] <= 800  # without scrolling


def test_keys_reach_the_engine(live: LivePage, engine: Engine) -> None:
    live.page.locator("body").press("7")
    assert engine.wait(lambda: engine.value("editor", "emotion") == "sad")
    before = engine.value("editor", "intensity")
    live.page.locator("body").press("[")
    assert engine.wait(lambda: engine.value("editor", "intensity") < before)
    live.page.locator("body").press("m")
    assert engine.wait(lambda: engine.value("out", "mute") is True)
    assert live.page.locator("#mute").get_attribute("aria-pressed") == "true"
    live.page.locator("body").press("m")
    assert engine.wait(lambda: engine.value("out", "mute") is False)
    live.page.locator("body").press("?")
    assert live.page.locator("#help-dialog").is_visible()
    live.page.locator("#help-dialog").press("Escape")


def test_pad_by_pointer_and_by_arrows(live: LivePage, engine: Engine) -> None:
    live.page.locator('[data-mode-choice="pad"]').click()
    surface = live.page.locator("#pad-surface").bounding_box()
    assert surface is not None
    x, y = surface["x"] + 0.9 * surface["width"], surface["y"] + 0.4 * surface["height"]
    live.page.mouse.move(surface["x"] + surface["width"] / 2, surface["y"] + 40)
    live.page.mouse.down()
    live.page.mouse.move(x, y, steps=6)
    live.page.mouse.up()
    assert engine.wait(lambda: abs(engine.value("editor", "valence") - 0.8) < 0.03)
    assert engine.wait(lambda: abs(engine.value("editor", "arousal") - 0.2) < 0.03)
    assert engine.value("editor", "mode") == "valence_arousal"
    thumb = live.page.locator("#pad-thumb")
    thumb.press("ArrowDown")
    assert engine.wait(lambda: abs(engine.value("editor", "arousal") - 0.15) < 0.03)
    assert "happy" in (thumb.get_attribute("aria-valuetext") or "")
    live.emotion("neutral").wait_for(state="hidden")
    live.wear_nothing()


def test_refused_value_is_said_at_its_input(live: LivePage, engine: Engine) -> None:
    live.page.locator("#d-advanced summary").click()
    field = live.page.locator('[data-parameter="editor.intensity"]')
    field.fill("9")
    field.press("Tab")
    error = live.page.locator("#p-editor-intensity-error")
    live.page.wait_for_function(
        "() => document.querySelector('#p-editor-intensity-error').textContent"
    )
    assert "out of range" in error.inner_text()
    assert engine.value("editor", "intensity") <= 1
    field.fill("0.5")
    field.press("Tab")
    assert engine.wait(lambda: engine.value("editor", "intensity") == 0.5)
    live.page.wait_for_function(
        "() => !document.querySelector('#p-editor-intensity-error').textContent"
    )
    live.page.locator("#d-advanced summary").click()


def test_recording_and_snapshot(live: LivePage, tmp_path: Path) -> None:
    import av
    import cv2

    live.page.locator("#record").click()
    live.page.wait_for_function(
        "() => /[1-9]:|:0[2-9]|:[1-5]/.test(document.querySelector('#record-label').textContent)"
    )
    live.more_frames(15)
    with live.page.expect_download() as download:
        live.page.locator("#record").click()
    recording = tmp_path / download.value.suggested_filename
    download.value.save_as(recording)
    with av.open(str(recording)) as container:
        assert container.streams.audio
        frames = list(container.decode(video=0))
    assert len(frames) >= 15
    assert (frames[0].width, frames[0].height) == (640, 480)
    with live.page.expect_download() as download:
        live.page.locator("#snapshot").click()
    picture = tmp_path / "snapshot.png"
    download.value.save_as(picture)
    taken = cv2.imread(str(picture))
    assert taken is not None
    assert taken.shape == (480, 640, 3)


def test_own_voice_is_silent_until_asked_for(live: LivePage) -> None:
    muted = "document.querySelector('#avatar').muted"
    assert live.page.evaluate(muted) is True
    live.page.locator("#hear").click()
    assert live.page.evaluate(muted) is False
    live.page.locator("#hear").click()
    assert live.page.evaluate(muted) is True


def test_connection_check_finds_all_well(live: LivePage) -> None:
    live.page.locator("#d-selftest summary").click()
    live.page.locator("#selftest-run").click()
    live.page.locator("#selftest-list li", has_text="Receiving").wait_for()
    assert live.page.locator('#selftest-list [data-check="bad"]').all_inner_texts() == []
    text = live.page.locator("#selftest-list").inner_text()
    assert "counts as secure" in text
    assert "round trip" in text
    live.page.locator("#d-selftest summary").click()


def test_a_watcher_sees_without_a_camera(live: LivePage, browser: Browser, engine: Engine) -> None:
    with LivePage.opened(browser, engine.url + "?watch&clean") as watcher:
        watcher.wait("state", "live")
        watcher.more_frames(5)
        assert watcher.grab().shape == (480, 640, 3)
        assert watcher.page.evaluate("document.querySelector('#self').srcObject") is None
        assert not watcher.page.locator("#start").is_visible()
        assert engine.peers() == (True, 2)
        watcher.assert_quiet()
    assert engine.wait(lambda: engine.peers() == (True, 1))
    assert live.data("state") == "live"


def test_resolution_changes_without_hanging_up(live: LivePage) -> None:
    live.page.locator("#d-devices summary").click()
    live.page.locator("#resolution").select_option("320x240")
    live.wait("size", "320×240")
    live.page.locator("#resolution").select_option("640x480")
    live.wait("size", "640×480")
    live.page.locator("#d-devices summary").click()
    assert live.data("reconnects") == "0"


def test_pictures_take_the_governors_sizes_on_the_same_connection(
    live: LivePage, engine: Engine
) -> None:
    before = live.data("reconnects")
    for level, size in ((4, "320×240"), (3, "480×360"), (0, "640×480")):
        engine.call("govern", level=level)
        live.wait("size", size)
    assert live.data("reconnects") == before
