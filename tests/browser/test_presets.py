"""Settings and presets by the page: kept, brought back by a key, exported and taken in again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.engine import Engine
from tests.browser.page import LivePage

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_presets_and_settings_outlast_the_engine(browser: Browser, tmp_path: Path) -> None:
    kept = tmp_path / "settings.json"
    first = Engine("--settings", str(kept))
    try:
        with LivePage.opened(browser, first.url) as page:
            page.emotion("sad").click()
            page.page.locator("#intensity").fill("0.4")
            page.page.locator("#presets-open").click()
            page.page.locator("#preset-name").fill("Rainy day")
            assert page.page.locator("#preset-key").input_value() == "9"
            page.page.locator("#preset-keep").click()
            page.page.locator("#presets-list li", has_text="Rainy day").wait_for()
            page.page.screenshot(path=tmp_path / "dialog.png")
            with page.page.expect_download() as download:
                page.page.locator("#presets-export").click()
            exported = tmp_path / "exported.json"
            download.value.save_as(exported)
            page.page.locator("#presets-close").click()
            page.emotion("happy").click()
            assert first.wait(lambda: first.value("editor", "emotion") == "happy", 5)
            assert page.page.locator(".preset").get_attribute("aria-pressed") == "false"
            page.page.locator("body").press("9")
            page.wait("emotion", "sad")
            assert first.value("editor", "intensity") == 0.4
            page.page.locator('.preset[aria-pressed="true"]').wait_for()
            page.page.screenshot(path=tmp_path / "row.png")
            page.emotion("fear").click()
            assert first.wait(lambda: first.value("editor", "emotion") == "fear", 5)
            page.assert_quiet()
    finally:
        assert first.close() == 0
    assert json.loads(kept.read_text())["values"]["editor"]["emotion"] == "fear"
    assert [item["name"] for item in json.loads(exported.read_text())["presets"]] == ["Rainy day"]

    second = Engine("--settings", str(kept))
    try:
        with LivePage.opened(browser, second.url) as page:
            page.wait("emotion", "fear")
            page.page.locator("#presets-open").click()
            page.page.locator("#presets-list button", has_text="Delete").click()
            page.page.locator("#presets-list li").wait_for(state="detached")
            wrong = tmp_path / "wrong.json"
            wrong.write_text('{"presets": [{"name": "x", "values": 3}]}')
            page.page.locator("#presets-file").set_input_files(wrong)
            page.page.locator("#presets-error", has_text="isn't a file of presets").wait_for()
            page.page.locator("#presets-file").set_input_files(exported)
            page.page.locator("#presets-list li", has_text="Rainy day").wait_for()
            page.page.locator("#presets-defaults").click()
            page.wait("emotion", "neutral")
            page.page.locator("#presets-close").click()
            page.page.locator(".preset", has_text="Rainy day").click()
            page.wait("emotion", "sad")
            page.assert_quiet()
    finally:
        assert second.close() == 0
