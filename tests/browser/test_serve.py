"""The page of one among many: its own address, a place in line, and in by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from nodes.web.options import Options
from serving.machine import Machine
from tests.browser.page import LivePage
from tests.loopback.rig import STRAIGHT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FIRST = "who-was-here-first"


class InThread:
    """A machine with one place, beside Playwright, which has this thread's event loop."""

    def __init__(self) -> None:
        self.ready, self.over = threading.Event(), asyncio.Event()
        self.thread = threading.Thread(target=asyncio.run, args=(self.run(),))
        self.thread.start()
        assert self.ready.wait(60)

    async def run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.machine = Machine(STRAIGHT, lambda *_: None, most=1, linger_s=60, networks="own")
        try:
            await self.machine.start()
            await self.machine.open(Options(port=0))
            await self.machine.sessions.open(FIRST).ready()
            self.url = self.machine.front.binding.url
            self.ready.set()
            await self.over.wait()
        finally:
            await self.machine.stop()

    def end(self, name: str) -> None:
        asyncio.run_coroutine_threadsafe(self.machine.sessions.end(name), self.loop).result(10)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.over.set)
        self.thread.join()


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[InThread]:
    running = InThread()
    yield running
    running.close()


def test_who_finds_no_place_waits_in_line_and_comes_in(browser: Browser, full: InThread) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(full.url)
    assert "/s/" in page.url
    page.get_by_text("you are number 1 in line").first.wait_for(timeout=20_000)
    assert page.get_by_text("1 person is here, as many as this machine can carry").count() > 0
    full.end(FIRST)
    page.wait_for_selector("html[data-line=up]", timeout=20_000)
    assert page.get_by_text("No place is free").count() == 0
    name = page.url.split("/s/")[1].split("/")[0]
    assert list(full.machine.sessions.by_name) == [name]
    with LivePage.opened(browser, page.url) as other:  # whoever knows the address is in it
        assert other.page.url == page.url and len(full.machine.sessions.by_name) == 1
    context.close()
