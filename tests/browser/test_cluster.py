"""The page of a cluster: its offers go to the worker itself, and it outlives that worker."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from engine.folders import running
from tests.browser.engine import REPOSITORY
from tests.browser.firefox import Firefox
from tests.browser.page import LivePage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Response

pytestmark = pytest.mark.cluster
START_WITHIN_S = 90.0
KEPT_WITHIN_S = 20.0
HELD = "document.documentElement.dataset"
TELL_FETCHES = """(() => {
  window.told = [];
  const real = window.fetch;
  window.fetch = async (...given) => {
    const answer = await real(...given);
    window.told.push([given[1]?.method ?? "GET", answer.redirected, answer.status]);
    return answer;
  };
})()"""


class Served:
    """`serve --cluster auto` with two workers, as a user starts it."""

    def __init__(self, log: Path) -> None:
        self._log = log
        command = ["serve", "--cluster", "auto", "--workers", "2", "--cores", "0.5", "--port", "0"]
        command += ["--max-sessions", "4"]
        with log.open("wb") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "run_engine.py", *command],
                cwd=REPOSITORY, stdout=told, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.url = self._address()

    def _address(self) -> str:
        deadline_s = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline_s and self.process.poll() is None:
            if found := re.search(r"running: (http://\S+)", self._log.read_text()):
                return found[1] + "/"
            time.sleep(0.1)
        self.close()
        raise AssertionError(self._log.read_text())

    def workers(self) -> list[psutil.Process]:
        """Their processes, of whom has a session first."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        found = [each for each in family if "cluster.worker" in each.cmdline()]
        return sorted(found, key=lambda each: -len(each.children(recursive=True)))

    def keeps(self, word: str) -> bool:
        """Whether a file that the front keeps of a visitor has this word."""
        [folder] = running(self.process.pid)
        for path in folder.iterdir():
            if re.fullmatch(r"[0-9a-f]{64}", path.name):
                with contextlib.suppress(FileNotFoundError):  # replaced by a newer one
                    if word in path.read_text("utf-8"):
                        return True
        return False

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            assert self.process.wait(30) == 0
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if find_spec("ray") is None:
        pytest.skip("no Ray here: the extra `cluster`")
    running = Served(tmp_path_factory.mktemp("served") / "log.txt")
    yield running
    running.close()


def test_chromium_is_sent_to_its_worker_and_outlives_it(browser: Browser, served: Served) -> None:
    with LivePage.opened(browser, served.url) as page:
        sent: list[Response] = []
        page.page.on(
            "response",
            lambda answer: sent.append(answer) if answer.request.method == "POST" else None,
        )
        page.start()
        page.emotion("happy").click()
        page.wait("emotion", "happy")
        deadline_s = time.monotonic() + KEPT_WITHIN_S
        while not served.keeps("happy"):  # the front has the settings, should the worker die
            assert time.monotonic() < deadline_s, "the settings don't reach the front"
            page.page.wait_for_timeout(50)
        statuses = [answer.status for answer in sent]
        assert (statuses.count(307), statuses.count(201)) == (2, 2)
        front, worker = ({each.url.split("/")[2] for each in sent if each.status == status}
                         for status in (307, 201))  # fmt: skip
        assert front == {served.url.split("/")[2]} and len(worker) == 1 and worker != front
        page.assert_quiet()

        busy, _ = served.workers()
        assert len(busy.children(recursive=True)) > 2
        for process in [*busy.children(recursive=True), busy]:
            process.send_signal(signal.SIGKILL)
        page.wait("state", "live")
        page.more_frames(10)
        assert page.data("emotion") == "happy"
        came = {each.url.split("/")[2] for each in sent if each.status == 201}
        assert len(came) == 2  # the other worker


def test_firefox_is_sent_to_its_worker(served: Served, tmp_path: Path) -> None:
    firefox = Firefox(tmp_path)
    try:
        page = firefox.page(served.url)
        page.wait(f"{HELD}.line === 'up'", 60)
        page.evaluate(TELL_FETCHES)
        page.click("#start")
        page.wait(f"{HELD}.frames > 10 && document.querySelector('#avatar').videoWidth > 0", 60)
        told = page.evaluate("window.told")
        assert [each for each in told if each[0] == "POST"] == [["POST", True, 201]] * 2
        page.click("#start")
        page.wait("window.told.filter(([method]) => method === 'DELETE').length === 2")
        assert {each[2] for each in page.evaluate("window.told") if each[0] == "DELETE"} == {200}
        assert firefox.complaints == []
    finally:
        firefox.close()
