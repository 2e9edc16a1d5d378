"""Make docs/heads.jpg: the head that comes with Mien, as the page draws it, in six emotions.

python -m docs.heads      (needs Chromium)
"""

from __future__ import annotations

import functools
import http.server
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

from face.emotions import emotion_shapes
from face.types import BLENDSHAPES
from nodes.web.server import STATIC
from tests.browser.conftest import QUIET, find_chromium

DOCS = Path(__file__).resolve().parent
SHOWN = ("neutral", "happy", "surprised", "sad", "angry", "disgusted")
STRENGTH = 0.8
SIZE_PX = 300
NAMES = ["found", "x", "y", "z", "w", *BLENDSHAPES[1:]]
TURN = (0.03, 0.1, 0.0, 0.99)
"""a little aside, as a quaternion"""
PAGE = f"""<!doctype html><style>body {{ margin: 0; background: #ece7de }}
canvas {{ display: block; width: {SIZE_PX}px; height: {SIZE_PX}px }}</style><canvas></canvas>"""
LOAD = """async (names) => {
  const { Figure } = await import("/figure.js");
  const bytes = await (await fetch("/avatar/head.vrm")).arrayBuffer();
  window.figure = await Figure.of(document.querySelector("canvas"), bytes);
  window.figure.expect(names);
}"""


class Files(http.server.SimpleHTTPRequestHandler):
    """The page's files, and an empty page."""

    def do_GET(self) -> None:
        if self.path != "/":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *_: Any) -> None:
        return


def main() -> None:
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Files, directory=str(STATIC))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    heads = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=[*QUIET, "--enable-unsafe-swiftshader"]
        )
        page = browser.new_page(
            viewport={"width": SIZE_PX, "height": SIZE_PX}, device_scale_factor=2
        )
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.evaluate(LOAD, NAMES)
        for emotion in SHOWN:
            shapes = STRENGTH * emotion_shapes(emotion)
            page.evaluate("rig => figure.wear(rig)", [1, *TURN, *map(float, shapes[1:])])
            page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
            head = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
            assert head is not None
            place, ink = (16, 36), (40, 36, 34)
            heads.append(
                cv2.putText(head, emotion, place, cv2.FONT_HERSHEY_DUPLEX, 0.9, ink, 1, cv2.LINE_AA)
            )
        browser.close()
    server.shutdown()
    server.server_close()
    rows = [np.hstack(heads[:3]), np.hstack(heads[3:])]
    cv2.imwrite(str(DOCS / "heads.jpg"), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 86])


if __name__ == "__main__":
    main()
