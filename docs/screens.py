"""Make docs/page.jpg and docs/obs-scene.jpg: the page at work, and its avatar in a drawn OBS scene.

python -m docs.screens      (needs Chromium; the face is scikit-image's public-domain astronaut)
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import Browser, FloatRect, sync_playwright

from engine.types import U8
from tests.browser.conftest import QUIET, find_chromium
from tests.browser.engine import Engine
from tests.browser.fake_camera import write_sound, write_video
from tests.browser.page import LivePage

DOCS = Path(__file__).resolve().parent
EMOTION = "happy"
SOURCE = {"width": 560, "height": 420}  # of the browser source in the scene
ABOVE_THE_FIGURES: FloatRect = {"x": 0, "y": 0, "width": 1280, "height": 676}
SETTLE_MS = 3000
LIVE_WITHIN_S = 120


def picture(png: bytes) -> U8:
    """uint8 [H, W, 3], BGR."""
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


def scene(avatar: U8) -> U8:
    """A talk as OBS would send it [720, 1280, 3]: slides, and the avatar in their corner."""
    canvas = np.full((720, 1280, 3), (74, 58, 44), np.uint8)
    cv2.rectangle(canvas, (48, 48), (1232, 672), (236, 242, 245), -1)
    cv2.putText(
        canvas, "Quarterly figures", (96, 140), cv2.FONT_HERSHEY_DUPLEX, 1.6, (70, 40, 40), 2,
        cv2.LINE_AA,
    )  # fmt: skip
    for i, height in enumerate((150, 230, 190, 300, 260)):
        left = 110 + i * 100
        cv2.rectangle(canvas, (left, 600 - height), (left + 64, 600), (150, 110, 90), -1)
    rows, columns = avatar.shape[:2]
    canvas[720 - 24 - rows : 720 - 24, 1280 - 24 - columns : 1280 - 24] = avatar
    return canvas


def shoot(browser: Browser, url: str) -> tuple[U8, U8]:
    """The page wearing an emotion, and what a browser source shows of it."""
    with LivePage.opened(browser, url) as page:
        page.page.locator("#start").click()
        page.wait("state", "live", LIVE_WITHIN_S)
        page.emotion(EMOTION).click()
        page.wait("emotion", EMOTION)
        page.page.mouse.move(640, 780)
        page.page.wait_for_timeout(SETTLE_MS)
        whole = picture(page.page.screenshot(clip=ABOVE_THE_FIGURES))
        options: dict[str, Any] = {"viewport": SOURCE}
        with LivePage.opened(browser, f"{url}?watch&clean", **options) as source:
            source.wait("state", "live", LIVE_WITHIN_S)
            source.more_frames(10)
            return whole, picture(source.page.screenshot())


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        camera = write_video(Path(name, "camera.y4m"))
        voice = write_sound(Path(name, "voice.wav"))
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=[
                *QUIET,
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-video-capture={camera}",
                f"--use-file-for-fake-audio-capture={voice}",
            ],
        )
        engine = Engine()
        try:
            page, avatar = shoot(browser, engine.url)
        finally:
            engine.close()
            browser.close()
    quality = [cv2.IMWRITE_JPEG_QUALITY, 88]
    cv2.imwrite(str(DOCS / "page.jpg"), page, quality)
    cv2.imwrite(str(DOCS / "obs-scene.jpg"), scene(avatar), quality)


if __name__ == "__main__":
    main()
