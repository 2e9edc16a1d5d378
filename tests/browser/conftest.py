"""A real headless Chromium with a made camera, and the real engine, for every browser test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from commands.bench import browser as benched
from tests.browser.engine import Engine
from tests.browser.fake_camera import write_sound, write_video
from tests.browser.page import LivePage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

# Without the windows that a headless chromium draws for nobody.
NAMES = ("chromium-headless-shell", *benched.NAMES)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


def find_chromium() -> str:
    """The system's browser; without one the tests skip, or fail where CI promises one."""
    for name in (os.environ.get("MIEN_CHROMIUM", ""), *NAMES):
        if name and (path := shutil.which(name)):
            return path
    reason = f"no Chromium here: install one of {', '.join(NAMES)}, or set MIEN_CHROMIUM"
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(reason)
    pytest.skip(reason)


# Ends with the package: Playwright occupies the thread's event loop, which other tests need.
@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    find_chromium()
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install -e '.[dev]'"
    )
    with api.sync_playwright() as running:
        yield running


@pytest.fixture(scope="package")
def media(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The camera's and the microphone's files."""
    folder = tmp_path_factory.mktemp("devices")
    return write_video(folder / "camera.y4m"), write_sound(folder / "voice.wav")


@pytest.fixture(scope="package")
def browser(playwright: Playwright, media: tuple[Path, Path]) -> Iterator[Browser]:
    yield from launched(playwright, media)


def launched(playwright: Playwright, media: tuple[Path, Path], *more: str) -> Iterator[Browser]:
    """Chromium with a made camera and microphone, closed when it is no longer asked for."""
    camera, voice = media
    running = playwright.chromium.launch(
        executable_path=find_chromium(),
        args=[
            *QUIET,
            *more,
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={camera}",
            f"--use-file-for-fake-audio-capture={voice}",
        ],
    )
    yield running
    running.close()


@pytest.fixture(scope="package")
def engine() -> Iterator[Engine]:
    running = Engine()
    yield running
    running.close()


@pytest.fixture
def page(browser: Browser, engine: Engine) -> Iterator[LivePage]:
    """A fresh page, not started."""
    with LivePage.opened(browser, engine.url) as opened:
        yield opened
        opened.all_sent()
        opened.assert_quiet()


@pytest.fixture(scope="module")
def live(browser: Browser, engine: Engine) -> Iterator[LivePage]:
    """One started page, shared by the tests of a module that leave it as they found it."""
    with LivePage.opened(browser, engine.url) as opened:
        opened.start()
        yield opened
        opened.all_sent()
        opened.assert_quiet()
