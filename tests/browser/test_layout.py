"""How the page looks and reads: phone, dark and light, names for everything that can be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import launched
from tests.browser.engine import Engine
from tests.browser.page import LivePage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """One of its own: each screen is a page that is started and left in the middle."""
    running = Engine()
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser(playwright: Playwright, media: tuple[Path, Path]) -> Iterator[Browser]:
    yield from launched(playwright, media)


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
        page.wear_nothing()
        page.assert_quiet()


SCREENS: dict[str, dict[str, Any]] = {
    "phone": {"viewport": {"width": 390, "height": 844}},
    "small phone": {"viewport": {"width": 320, "height": 640}},
    "tablet": {"viewport": {"width": 768, "height": 1024}},
    "small laptop": {"viewport": {"width": 1024, "height": 768}},
    "laptop": {"viewport": {"width": 1280, "height": 800}},
    # A browser at 200 % has half as many CSS pixels, each twice as large.
    "laptop at 200 %": {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
}
CLIPPED = """() => [...document.querySelectorAll("button, label, summary, dt, dd, h2, .hint, span")]
  .filter((each) => each.checkVisibility() && !each.closest(".unseen, [role=switch]"))
  .filter((each) => getComputedStyle(each).clipPath === "none")
  .filter((each) => each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0)
  .filter((each) => getComputedStyle(each).display !== "inline")
  .map((each) => `${each.id || each.className} ${each.textContent.trim().slice(0, 30)}`)"""
SPLIT = """() => [...document.querySelectorAll(".emotion span, .transport span")]
  .filter((each) => each.checkVisibility() && getComputedStyle(each).clipPath === "none")
  .filter((each) => !each.textContent.includes(" "))
  .filter((each) => each.clientHeight > 1.6 * parseFloat(getComputedStyle(each).fontSize) + 4)
  .map((each) => each.textContent)"""
WRAPPED = """() => [...document.querySelectorAll(".small")]
  .filter((each) => each.checkVisibility() && each.clientHeight > 40)
  .map((each) => each.textContent)"""
ROWS = """() => new Set([...document.querySelectorAll(".transport > *")]
  .filter((each) => each.checkVisibility())
  .map((each) => each.getBoundingClientRect())
  .map(({ top, bottom }) => Math.round((top + bottom) / 2))).size"""


@pytest.mark.parametrize("screen", SCREENS)
def test_every_word_is_whole_on_every_screen(
    browser: Browser, engine: Engine, tmp_path: Path, screen: str
) -> None:
    with LivePage.opened(browser, engine.url, **SCREENS[screen]) as page:
        page.emotion("happy").and_(page.page.locator(":enabled")).wait_for()
        page.page.screenshot(path=tmp_path / "idle.png", full_page=True)
        open_drawers(page)
        page.page.locator("#p-editor-intensity").wait_for()
        assert page.page.evaluate(FITS)
        assert page.page.evaluate(CLIPPED) == []
        assert page.page.evaluate(SPLIT) == []
        assert page.page.evaluate(WRAPPED) == []
        width = page.page.evaluate("innerWidth")
        rows = page.page.evaluate(ROWS)
        assert rows == (1 if width > 700 else 2 if width > 560 else 3)
        # A scroll bar takes some of the width; the longest words a tool ever holds stay in the row.
        page.page.evaluate("""() => {
          document.body.style.width = `${innerWidth - 15}px`;
          document.querySelector("#record-label").textContent = "1:02:03";
          document.querySelector("#mute span").textContent = "Muted";
        }""")
        assert page.page.evaluate(ROWS) == rows
        assert page.page.evaluate(CLIPPED) == []


@pytest.mark.parametrize("screen", ["phone", "tablet", "laptop at 200 %"])
def test_the_avatar_stays_in_sight_while_a_slider_is_moved(
    browser: Browser, engine: Engine, tmp_path: Path, screen: str
) -> None:
    with LivePage.opened(browser, engine.url, **SCREENS[screen]) as page:
        page.start()
        for control in (
            "#intensity",
            '.emotion[data-emotion="happy"]',
            '[data-mode-choice="wear"]',
        ):
            page.page.evaluate("scrollTo(0, document.body.scrollHeight)")
            page.page.locator(control).focus()
            page.page.locator(control).scroll_into_view_if_needed()
            place = page.page.locator(control).bounding_box()
            picture = page.page.locator("#stage").bounding_box()
            assert place is not None and picture is not None
            assert picture["y"] >= 0, control
            assert picture["y"] + picture["height"] <= place["y"] + 1, control  # nothing is covered
            assert place["y"] + place["height"] <= page.page.evaluate("innerHeight") + 1, control
            assert picture["height"] >= 100
        page.page.screenshot(path=tmp_path / "moved.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forced_colours_hide_nothing(
    browser: Browser, engine: Engine, tmp_path: Path, scheme: str
) -> None:
    import cv2

    options = {"forced_colors": "active", "color_scheme": scheme}
    with LivePage.opened(browser, engine.url, **options) as page:
        page.emotion("happy").click()
        for control in ("#veil-action", "#start", "#intensity", ".modes", "#emotions"):
            file = tmp_path / "control.png"
            page.page.locator(control).screenshot(path=file)
            seen = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            assert seen is not None
            # An edge, or a track, from one end to the other: a contrast in almost every column.
            spread = seen.max(axis=0).astype(int) - seen.min(axis=0)
            assert (spread > 60).mean() > 0.9, control
        chosen, other = (
            page.page.evaluate(
                "query => getComputedStyle(document.querySelector(query)).backgroundColor",
                f".emotion[data-emotion={name}]",
            )
            for name in ("happy", "sad")
        )
        assert chosen != other
        border = "getComputedStyle(document.querySelector('#veil-action')).borderTopWidth"
        assert page.page.evaluate(border) == "2px"
        page.page.screenshot(path=tmp_path / "forced.png")
        page.wear_nothing()


def test_help_opens_at_its_head(browser: Browser, engine: Engine) -> None:
    with LivePage.opened(browser, engine.url, **SCREENS["laptop at 200 %"]) as page:
        page.page.locator("#help").click()
        dialog = page.page.locator("#help-dialog")
        assert dialog.evaluate("it => [it.scrollHeight > it.clientHeight, it.scrollTop]") == [
            True,
            0,
        ]
        page.page.keyboard.press("Tab")
        assert page.page.evaluate("document.activeElement.id") == "keys-on"


def test_parameters_have_words(page: LivePage) -> None:
    page.page.locator("#d-advanced summary").click()
    page.page.locator("#p-editor-intensity").wait_for()
    names = page.page.locator("#advanced label, #advanced legend").all_inner_texts()
    assert len(names) > 40
    in_code = page.page.locator("#advanced code").all_inner_texts()
    assert "editor.ease_ms" in in_code
    plain = {name.partition(".")[2].replace("_", " ") for name in in_code if "_" in name}
    assert [name for name in names if "_" in name or name.lower() in plain] == ["Pass through"]


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
    page.wear_nothing()
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
