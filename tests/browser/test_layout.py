"""How the page looks and reads: phone, dark and light, names for everything that can be used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.engine import Engine
from tests.browser.page import LivePage

if TYPE_CHECKING:
    from playwright.sync_api import Browser

USABLE = {
    "button", "radio", "slider", "checkbox", "combobox", "textbox", "spinbutton", "switch",
    "link", "dialog", "image", "radiogroup", "toolbar",
}  # fmt: skip
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


def open_drawers(page: LivePage) -> None:
    for summary in page.page.locator("summary").all():
        summary.click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_never_scrolls_sideways(
    browser: Browser, engine: Engine, tmp_path: Path, scheme: str
) -> None:
    options = {"viewport": {"width": 360, "height": 740}, "color_scheme": scheme}
    with LivePage.opened(browser, engine.url, **options) as page:
        assert page.page.evaluate(FITS)
        page.page.screenshot(path=tmp_path / f"phone-{scheme}-idle.png")
        page.start()
        open_drawers(page)
        if scheme == "light":
            page.page.locator("#selftest-run").click()
            page.page.locator("#selftest-list li", has_text="Receiving").wait_for()
        for view in ("single", "side", "inset"):
            page.page.locator(f'[data-view-choice="{view}"]').click()
            assert page.page.evaluate(FITS), view
        page.page.locator('[data-mode-choice="pad"]').click()
        assert page.page.evaluate(FITS)
        page.page.screenshot(path=tmp_path / f"phone-{scheme}-live.png", full_page=True)
        page.page.locator('[data-mode-choice="neutral"]').click()
        page.assert_quiet()


def test_theme_follows_the_system_and_the_button(
    browser: Browser, engine: Engine, tmp_path: Path
) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    with LivePage.opened(browser, engine.url, color_scheme="dark") as page:
        dark = page.page.evaluate(colour)
        page.page.screenshot(path=tmp_path / "dark.png")
        page.page.locator("#theme").click()
        light = page.page.evaluate(colour)
        page.page.screenshot(path=tmp_path / "light.png")
        assert sum(brightness(light)) > sum(brightness(dark)) + 300
        page.page.reload()
        page.wait("line", "up")
        assert page.page.evaluate(colour) == light
        page.page.locator("#theme").click()
        page.page.locator("#theme").click()
        page.page.emulate_media(color_scheme="light")
        assert page.page.evaluate(colour) == light
        page.assert_quiet()


def brightness(colour: str) -> list[int]:
    return [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]


def test_everything_usable_has_a_name(page: LivePage) -> None:
    open_drawers(page)
    page.page.locator("#p-editor-intensity").wait_for()
    nameless = unnamed(page)
    page.page.locator("#help").click()
    nameless += unnamed(page)
    page.page.locator("#help-dialog").press("Escape")
    page.page.locator('[data-mode-choice="pad"]').click()
    nameless += unnamed(page)
    page.page.locator('[data-mode-choice="neutral"]').click()
    assert nameless == []


def unnamed(page: LivePage) -> list[str]:
    """What the accessibility tree holds without a name though a person uses it."""
    session = page.page.context.new_cdp_session(page.page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    usable = [
        (node["role"]["value"], node.get("name", {}).get("value", "").strip(), node)
        for node in nodes
        if not node.get("ignored") and node.get("role", {}).get("value") in USABLE
    ]
    assert len(usable) >= 3
    return [f"{role}: {node.get('description')}" for role, name, node in usable if not name]


def test_keyboard_alone_reaches_the_emotions(page: LivePage) -> None:
    page.page.keyboard.press("Tab")
    assert page.page.evaluate("document.activeElement.className") == "skip"
    page.emotion("neutral").focus()
    page.page.keyboard.press("ArrowRight")
    page.wait("emotion", "angry")
    assert page.page.evaluate("document.activeElement.dataset.emotion") == "angry"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.page.evaluate(outline) == "solid"
    page.page.keyboard.press("ArrowLeft")
    page.wait("emotion", "neutral")
