"""Enrolled people on the page: chosen while it runs, worn, renamed, forgotten without a trace."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from face.expression.people import load_people
from face.render import person_file
from face.render.person_file import Person
from face.render.surface import load_surface
from face.render.watch import Watch
from face.rig import load_rig
from tests.browser.engine import Engine
from tests.browser.page import LivePage
from tests.faces import astronaut, seen_astronaut
from tests.made_media import make_video

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WITHIN_MS = 60_000


def test_a_person_is_chosen_renamed_and_forgotten(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = tmp_path / "people"
    monkeypatch.setenv(person_file.FOLDER, str(people))
    seen = seen_astronaut()
    face = Watch(load_rig(), load_surface(), load_people()).face(*seen[:3], seen.rig, "happy")
    person_file.save(Person("anna", [face]), person_file.place_of("anna"))
    head = np.ascontiguousarray(astronaut()[:300, 75:375])
    film = make_video(tmp_path / "film.mp4", [head] * 50)
    engine = Engine("--no-settings", "--camera", str(film))
    try:
        with LivePage.opened(browser, engine.url) as opened:
            page = opened.page
            choice = page.locator("#people-choice")
            choice.locator("option", has_text="anna").wait_for(state="attached", timeout=WITHIN_MS)
            assert page.locator("#person-forget").is_disabled()
            choice.select_option("anna")
            assert engine.wait(lambda: engine.value("compositor", "person") == "anna")
            page.wait_for_function(
                "() => parseInt(document.getElementById('people-text').textContent) > 0",
                timeout=WITHIN_MS,
            )
            page.locator("#people-row").scroll_into_view_if_needed()
            page.screenshot(path=str(tmp_path / "people.png"))
            page.once("dialog", lambda dialog: dialog.accept("Anna B"))
            page.locator("#person-rename").click()
            assert engine.wait(lambda: engine.value("compositor", "person") == "Anna B")
            assert person_file.names() == ["Anna B"]
            page.once("dialog", lambda dialog: dialog.accept())
            page.locator("#person-forget").click()
            assert engine.wait(lambda: engine.value("compositor", "person") == "")
            assert list(people.iterdir()) == []
            assert choice.locator("option").all_inner_texts() == ["whoever is seen"]
            opened.assert_quiet()
    finally:
        engine.close()


def remembered(engine: Engine) -> int:
    """How many faces are remembered."""
    return int(engine.call("metrics")["nodes"]["compositor"]["gauges"].get("remembered", 0))


def test_a_guided_minute_ends_in_a_smile_that_is_worn(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(person_file.FOLDER, str(tmp_path / "people"))
    head = np.ascontiguousarray(astronaut()[:300, 75:375])
    # Without a cut: she smiles all the while, and a smile called calm looks like somebody else's.
    film = make_video(tmp_path / "film.mp4", [head] * 900, time_base=Fraction(1, 10))
    engine = Engine("--no-settings", "--camera", str(film))
    try:
        with LivePage.opened(browser, engine.url) as opened:
            page = opened.page
            page.locator("#guide-open:enabled").click(timeout=WITHIN_MS)
            assert page.locator("#guide-go").is_disabled()  # consent first
            page.locator("#guide-agree").check()
            page.locator("#guide-go").click()
            for words in ("Look calm", "turn your head"):
                page.locator("#guide-say", has_text=words).wait_for(timeout=WITHIN_MS)
            held = remembered(engine)
            page.locator("#guide-close").click()  # a smile that was called calm is forgotten
            assert engine.wait(lambda: remembered(engine) < held)
            page.locator("#guide-open:enabled").click(timeout=WITHIN_MS)
            page.locator("#guide-agree").check()
            page.locator("#guide-go").click()
            said = page.locator("#guide-say")
            for words in ("Look calm", "turn your head", "Smile"):
                said.filter(has_text=words).wait_for(timeout=WITHIN_MS)
                page.screenshot(path=str(tmp_path / f"{words}.png"))
                if words == "turn your head":
                    page.locator("#guide-skip").click()  # nobody does in a still film
            while page.locator("#guide-skip").is_visible():
                page.locator("#guide-skip").click()
            page.locator("#guide-name").fill("a/b")
            page.locator("#guide-go").click()
            page.locator("#guide-error", has_text="person").wait_for(timeout=WITHIN_MS)
            page.locator("#guide-name").fill("anna")
            page.locator("#guide-go").click()
            assert engine.wait(lambda: engine.value("compositor", "person") == "anna")
            page.screenshot(path=str(tmp_path / "enrolled.png"))
            kept = person_file.load(person_file.place_of("anna"))
            assert {"neutral", "happy"} <= {face.emotion for face in kept.faces}
            opened.emotion("happy").click()
            opened.wait("emotion", "happy")
            page.wait_for_function(
                "() => parseInt(document.getElementById('people-text').textContent) > 0",
                timeout=WITHIN_MS,
            )
            opened.page.locator("#start").click()
            opened.wait("state", "live", 60)
            opened.more_frames(5)
            page.screenshot(path=str(tmp_path / "worn.png"))
            opened.assert_quiet()
    finally:
        engine.close()
