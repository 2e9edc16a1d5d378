"""Mien's page in a browser, driven the way a person does, read through its data attributes."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.types import F32

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

GRAB = """() => {
  const video = document.querySelector("#avatar");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
}"""
WATCH_POLICY = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(event.violatedDirective + " " + event.blockedURI));
"""


class LivePage:
    """The page and what it complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                self.complaints.append(f"{message.type}: {message.text}")
                if message.type in ("error", "warning")
                else None
            ),
        )

    @classmethod
    @contextmanager
    def opened(cls, browser: Browser, url: str, **options: Any) -> Iterator[LivePage]:
        """A page of a context of its own; closed at the end."""
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = browser.new_context(accept_downloads=True, **options)
        page = cls(context.new_page())
        page.page.add_init_script(WATCH_POLICY)
        page.page.set_default_timeout(60_000)
        page.page.goto(url)
        page.wait("line", "up")
        try:
            yield page
        finally:
            context.close()

    def data(self, name: str) -> str:
        value = self.page.evaluate("name => document.documentElement.dataset[name] ?? ''", name)
        return str(value)

    def wait(self, name: str, value: str, within_s: float = 60.0) -> None:
        """Until ``data-NAME`` of the page is ``value``."""
        self.page.wait_for_function(
            "([name, value]) => document.documentElement.dataset[name] === value",
            arg=[name, value],
            timeout=within_s * 1000,
        )

    def start(self) -> None:
        self.page.locator("#start").click()
        self.wait("state", "live")

    def frames(self) -> int:
        return int(self.data("frames") or 0)

    def more_frames(self, count: int) -> None:
        """Wait until so many more pictures were decoded."""
        self.page.wait_for_function(
            "enough => Number(document.documentElement.dataset.frames) >= enough",
            arg=self.frames() + count,
        )

    def emotion(self, name: str) -> Locator:
        return self.page.locator(f'#emotions [data-emotion="{name}"]')

    def wear_nothing(self) -> None:
        """Neutral, whichever mode the page is in."""
        self.page.locator('[data-mode-choice="wear"]').click()
        self.emotion("neutral").click()
        self.wait("emotion", "neutral")

    def all_sent(self) -> None:
        """Wait until the engine has what was set last, or the next page finds what was before."""
        self.page.wait_for_function("() => !document.documentElement.dataset.sending")

    def grab(self) -> F32:
        """The avatar's picture now [H, W, 3], BGR, 0..255."""
        import cv2

        # Statistics count a picture as decoded a little before the element has it. A function,
        # since a bare expression would be an eval at each look, which the page's policy stops.
        self.page.wait_for_function("() => document.querySelector('#avatar').videoWidth > 0")
        png = np.frombuffer(base64.b64decode(self.page.evaluate(GRAB)), np.uint8)
        picture = cv2.imdecode(png, cv2.IMREAD_COLOR)
        assert picture is not None
        return picture.astype(np.float32)

    def mean_grab(self, count: int = 4, pause_s: float = 0.08) -> F32:
        """The mean of several pictures, so that the codec's noise fades."""
        pictures = []
        for _ in range(count):
            pictures.append(self.grab())
            time.sleep(pause_s)
        mean: F32 = np.mean(pictures, axis=0, dtype=np.float32)
        return mean

    def assert_quiet(self) -> None:
        """No error in the console, nothing that the content policy had to stop."""
        said = [*self.page.evaluate("window.violations"), *self.complaints]
        assert not said, "the page complained: " + "; ".join(said)
