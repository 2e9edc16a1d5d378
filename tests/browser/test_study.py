"""The study's page in Chromium: three raters vote, one of them in two sittings, on a phone too."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.page import LivePage
from tests.unit.commands.test_study import (
    CAST,
    COLOURS,
    GREY,
    LETTER,
    RATERS,
    ROWS,
    TABLE,
    made_study,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Response

ROOT = Path(__file__).parents[2]
COLOUR_OF = """async (tile) => {
  const shown = tile.querySelector("img, video");
  const there = () => shown.naturalWidth || shown.readyState >= 2;
  while (!there()) await new Promise(requestAnimationFrame);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  canvas.getContext("2d").drawImage(shown, 0, 0, 1, 1);
  return [...canvas.getContext("2d").getImageData(0, 0, 1, 1).data];
}"""
KEPT = "() => document.documentElement.dataset.kept === 'true'"
FITS = "document.documentElement.scrollWidth <= window.innerWidth"
COMMAND = (sys.executable, "run_engine.py", "study")


class Study:
    """The command, running; what of it reached browsers."""

    def __init__(self, sheet: Path) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, str(sheet), "--port", "0"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", self.process.stderr.readline())
        assert found is not None
        self.url = found[0]
        self.heard: list[str] = []

    def end(self) -> tuple[str, str]:
        """As by Ctrl-C; what it then said."""
        self.process.send_signal(signal.SIGINT)
        out, said = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return out, said

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def hear(self, response: Response) -> None:
        self.heard += [response.url, str(response.all_headers())]
        if "/media/" not in response.url:
            self.heard.append(response.text())

    @contextmanager
    def visited(self, browser: Browser, **options: Any) -> Iterator[Page]:
        context = browser.new_context(**options)
        page = LivePage(context.new_page())
        page.page.set_default_timeout(60_000)
        page.page.on("response", self.hear)
        page.page.goto(self.url)
        try:
            yield page.page
            assert [line for line in page.complaints if "409" not in line] == []
        finally:
            context.close()


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    running = Study(made_study(tmp_path / "study"))
    yield running
    running.kill()


def enter(page: Page, name: str) -> None:
    page.locator("#name").fill(name)
    page.locator("#enter button").click()


def vote(page: Page, rater: str, *questions: str) -> None:
    """As the rater thinks of the clip that is shown."""
    grey = colour(page.locator('[data-slot="source"]'))[0]
    clip = min(GREY, key=lambda name: abs(GREY[name] - grey))
    order = [name_of(colour(tile)) for tile in page.locator("#made .tile").all()]
    for question in questions or CAST:
        wanted = LETTER[CAST[question][clip][RATERS.index(rater)]]
        page.locator(f'[data-question="{question}"] input').nth(order.index(wanted)).check()
    page.wait_for_function(KEPT)


def colour(tile: Locator) -> list[int]:
    """BGR"""
    rgba: list[int] = tile.evaluate(COLOUR_OF)
    return rgba[2::-1]


def name_of(bgr: list[int]) -> str:
    """Of the method whose colour this is, as near as a film keeps it."""
    return min(
        COLOURS, key=lambda name: sum(abs(a - b) for a, b in zip(COLOURS[name], bgr, strict=True))
    )


def test_three_raters_make_the_table_made_by_hand(
    browser: Browser, study: Study, tmp_path: Path
) -> None:
    for name in RATERS:
        phone = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
        with study.visited(browser, **(phone if name == "Ben" else {})) as page:
            enter(page, name)
            for done in range(3):
                page.locator("#progress", has_text=f"{done} of 3 done").wait_for()
                assert page.evaluate(FITS)
                if name == "Cleo" and done == 1:
                    vote(page, name, "realism")  # and she closes the page
                    break
                vote(page, name)
                page.locator("#next").click()
            else:
                page.locator("#thanks").wait_for()
    with study.visited(browser) as page:
        enter(page, "cleo")
        page.locator("#again").click()
        page.locator("#progress", has_text="1 of 3 done").wait_for()
        assert page.locator(":checked").count() == 1
        for left in (("emotion", "mouth"), ()):
            vote(page, "Cleo", *left)
            page.locator("#next").click()
        page.locator("#thanks").wait_for()
        page.reload()
        page.locator("#thanks").wait_for()

    told, said = study.end()
    assert TABLE in told and ROWS in told
    assert said.splitlines() == [
        "Ada begins", "Ada is done", "Ben begins", "Ben is done", "Cleo begins", "Cleo goes on",
        "Cleo is done",
    ]  # fmt: skip
    assert len(study.heard) > 100
    leaked = [text for text in study.heard if any(name in text for name in (*COLOURS, ".png"))]
    assert leaked == []
    written = tmp_path / "votes.csv"
    again = subprocess.run(
        [*COMMAND, str(tmp_path / "study" / "sheet.toml"), "--table", "--csv", str(written)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert again.stdout == told
    assert len(written.read_text().splitlines()) == 1 + 27
