"""A headless Chromium as the user: sends the clip to a server, plays what returns."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Self

from commands.bench.clip import Clip
from commands.bench.stats import Marks
from engine.errors import MienError
from engine.program import extra

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAX_BITRATE_BPS = 2_500_000
PAGE = """<!doctype html><title>bench</title>
<video id="self" autoplay muted playsinline width="160"></video>
<video id="avatar" autoplay playsinline width="640" height="480"></video>"""
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # or it asks for Google's accounts
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)  # fmt: skip


def find_chromium() -> str:
    """The system's browser. Raises MienError."""
    for name in (os.environ.get("MIEN_CHROMIUM", ""), *NAMES):
        if name and (path := shutil.which(name)):
            return path
    raise MienError(
        f"bench live needs a Chromium: install one of {', '.join(NAMES)}, or set MIEN_CHROMIUM"
    )


def need_playwright() -> None:
    """Raises MienError where playwright isn't installed."""
    try:
        import playwright.sync_api  # noqa: F401 - is it there?
    except ImportError:
        raise MienError(f"bench live needs playwright: {extra('bench')}") from None


class BrowserUser:
    """One page in one browser, open while the ``with`` block runs."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.version = ""
        self._playwright: Any = None
        self._browser: Any = None
        self._page: Any = None

    def __enter__(self) -> Self:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        try:
            self._browser = self._playwright.chromium.launch(
                executable_path=find_chromium(),
                handle_sigint=False,
                handle_sigterm=False,
                args=[
                    *FLAGS,
                    f"--use-file-for-fake-video-capture={self.clip.video}",
                    f"--use-file-for-fake-audio-capture={self.clip.sound}",
                ],
            )
            self.version = self._browser.version
        except BaseException:
            self._playwright.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        from playwright.sync_api import Error

        try:
            self._browser.close()
            self._playwright.stop()
        except Error as gone:
            if kind is None:
                raise MienError(f"the browser went away: {gone.message}") from None

    def connect(self, url: str) -> dict[str, Any]:
        """Open an empty page of the server's origin there, and call. Raises MienError."""
        from playwright.sync_api import Error

        address = url.rstrip("/") + "/bench-of-an-empty-page"
        context = self._browser.new_context(viewport={"width": 860, "height": 520})
        self._page = context.new_page()
        self._page.route(address, lambda route: route.fulfill(body=PAGE, content_type="text/html"))
        try:
            self._page.goto(address)
            self._page.evaluate(Path(__file__).with_name("page.js").read_text())
            started: dict[str, Any] = self._page.evaluate(
                "options => mienBench.start(options)",
                {
                    "width": self.clip.width_px,
                    "height": self.clip.height_px,
                    "fps": self.clip.fps,
                    "maxBitrate": MAX_BITRATE_BPS,
                },
            )
        except Error as error:
            line = error.message.splitlines()[0]
            raise MienError(f"the browser could not call {url}: {line}") from None
        return started

    def drain_into(self, marks: Marks) -> float:
        """Take over what the page noted since the last time; its clock now, in ms."""
        taken: dict[str, Any] = self._page.evaluate("mienBench.drain()")
        marks.add(taken)
        return float(taken["now"])

    def stats(self) -> dict[str, Any]:
        """The browser's own figures of both connections."""
        kept: dict[str, Any] = self._page.evaluate("mienBench.stats()")
        return kept

    def picture(self, path: Path) -> None:
        """A screenshot of the page."""
        self._page.screenshot(path=str(path))
