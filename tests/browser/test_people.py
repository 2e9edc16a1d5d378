"""Enrolled people on the page: chosen while it runs, worn, renamed, forgotten without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from face.expression.people import load_people
from face.render import person_file
from face.render.person_file import Person
from face.render.surface import load_surface
from face.render.watch import Watch
from nodes.rig import load_rig
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
            while engine.value("compositor", "person") != "anna":
                page.wait_for_timeout(50)
            page.wait_for_function(
                "() => parseInt(document.getElementById('people-text').textContent) > 0",
                timeout=WITHIN_MS,
            )
            page.locator("#people-row").scroll_into_view_if_needed()
            page.screenshot(path=str(tmp_path / "people.png"))
            page.once("dialog", lambda dialog: dialog.accept("Anna B"))
            page.locator("#person-rename").click()
            while engine.value("compositor", "person") != "Anna B":
                page.wait_for_timeout(50)
            assert person_file.names() == ["Anna B"]
            page.once("dialog", lambda dialog: dialog.accept())
            page.locator("#person-forget").click()
            while engine.value("compositor", "person") != "":
                page.wait_for_timeout(50)
            assert list(people.iterdir()) == []
            assert choice.locator("option").all_inner_texts() == ["whoever is seen"]
            opened.assert_quiet()
    finally:
        engine.close()
