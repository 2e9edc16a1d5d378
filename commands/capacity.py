"""How many sessions keep their frame rate on this machine: one is called, and what it costs taken.

A made caller sends one face and a voice that never rests over real WebRTC, and looks at what comes
back, as a visitor would.
What session, networks and front spend meanwhile is what one visitor costs; as many fit as the
cores that are free hold, less a reserve.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import psutil

from engine.errors import MienError, UsageError
from engine.types import U8
from nodes.web.server import STATIC
from serving.machine import TRIED, Machine
from serving.sessions import Session, usage

FACE: Final = STATIC / "references" / "smile.jpg"
WARM_S: Final = 3.0
MEASURED_S: Final = 4.0
SHARE: Final = 0.8
"""of the cores that may be filled: bursts need room, so do those who knock, and a full core's other
thread costs more than an idle one's"""
LOOP: Final = 64
CONNECTED_WITHIN_S: Final = 20.0


@dataclass(frozen=True)
class Camera:
    """What a visitor is expected to send."""

    width: int
    height: int
    fps: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}@{self.fps}"


def camera(text: str) -> Camera:
    """WxH@FPS. Raises UsageError."""
    found = re.fullmatch(r"(\d+)x(\d+)@(\d+)", text)
    sizes = [int(number) for number in found.groups()] if found else [0, 0, 0]
    width, height, fps = sizes
    if not (min(width, height) >= 160 and max(width, height) <= 1920 and 1 <= fps <= 60):
        raise UsageError(f"--expect {text}: write it as 640x480@30, up to 1920 px and 60 a second")
    return Camera(width // 2 * 2, height // 2 * 2, fps)


async def fits(machine: Machine, expect: str, cores: float | None = None) -> tuple[int, str]:
    """How many visitors with cameras as ``expect`` says fit into so many cores, None: into those
    that are free; and that for a person. Raises MienError."""
    expected = camera(expect)
    most, each = await measure(machine, expected, cores)
    return most, told(most, each, expected)


async def measure(
    machine: Machine, expected: Camera, cores: float | None = None
) -> tuple[int, float]:
    """How many such visitors fit, and the cores that one takes. Raises MienError."""
    session = machine.sessions.open(TRIED)
    try:
        await session.ready()
        each = await _cost(machine, session, expected)
    finally:
        await machine.sessions.end(TRIED)
    return max(1, int(SHARE * (cores or await _free_cores(each)) / each)), each


async def _cost(machine: Machine, session: Session, expected: Camera) -> float:
    """Cores that one visitor takes where every picture is made."""
    from commands.bench.callers import (
        SOUND_HZ,
        SOUND_STEP,
        Caller,
        Loop,
        encode_pictures,
        encode_sound,
        sound_of,
    )

    pictures = _pictures(expected)
    packets = await asyncio.to_thread(encode_pictures, pictures, expected.fps, 0)
    moving = Loop("video", packets, expected.fps, 90_000 // expected.fps, 90_000)
    sound = Loop("audio", encode_sound(sound_of("")), 50, SOUND_STEP, SOUND_HZ)
    caller = Caller("http://session", moving, sound, 0)
    try:
        await caller.call(session.http)
        caller.forget()
        deadline_s = time.monotonic() + CONNECTED_WITHIN_S
        while len(caller.rows) < 10:
            if time.monotonic() > deadline_s:
                raise MienError(
                    "no picture came back from the session that was tried; say --max-sessions N"
                )
            await asyncio.sleep(0.1)
        await asyncio.sleep(WARM_S)
        caller.forget()
        before_s = _spent_s(machine, session)
        await asyncio.sleep(MEASURED_S)
        spent_s, made = _spent_s(machine, session) - before_s, len(caller.rows)
    except AssertionError as refusal:
        raise MienError(f"the session that was tried refuses: {refusal}") from None
    finally:
        await caller.leave()
    return max(0.01, spent_s / max(1, made) * expected.fps)


def _pictures(expected: Camera) -> list[U8]:
    """A face that sways."""
    import cv2

    face = cv2.imread(str(FACE))
    if face is None:
        raise MienError(f"{FACE} is missing; reinstall the project")
    scale = expected.height / face.shape[0]
    turned = []
    for number in range(LOOP):
        sway = 0.03 * expected.width * np.sin(2 * np.pi * number / LOOP)
        left = (expected.width - scale * face.shape[1]) / 2 + sway
        matrix = np.array([[scale, 0, left], [0, scale, 0]])
        size = (expected.width, expected.height)
        picture = cv2.warpAffine(face, matrix, size, borderMode=cv2.BORDER_REFLECT)
        turned.append(np.asarray(picture, np.uint8))
    return turned


def _spent_s(machine: Machine, session: Session) -> float:
    """Processor seconds of a session and of what runs networks for it."""
    pids = [session.pid, *([machine.device.pid] if machine.device is not None else [])]
    return sum(usage(pid)["cpu_s"] or 0.0 for pid in pids)


async def _free_cores(own: float) -> float:
    """What others leave of this machine, as it is over a second."""
    cores = len(os.sched_getaffinity(0))
    psutil.cpu_percent()
    await asyncio.sleep(1.0)
    busy = psutil.cpu_percent() / 100 * (psutil.cpu_count() or cores)
    return max(own, cores - busy)


def told(most: int, cores: float, expected: Camera) -> str:
    """The outcome for a person."""
    return f"a visitor of {expected} takes {cores:.2f} cores here: {most} at once"
