"""`file VOICE OUT` as users start it: a talking picture, numbers, and what can't be."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from media.probing import extent, probe
from run_engine import main
from tests.faces import astronaut

ENGINE = Path(__file__).resolve().parents[2] / "run_engine.py"
RATE_HZ = 22_050


def file(*arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ENGINE), "file", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL, env={**os.environ, "XDG_DATA_HOME": str(home)},
    )  # fmt: skip


def record(path: Path, seconds: float, level: float = 0.3, channels: int = 1) -> Path:
    """Vowels that are said and paused, as wav."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * 110 * k * t) / k for k in range(1, 9))
    said = np.clip(np.asarray(tone) * (np.sin(2 * np.pi * 2.5 * t) > 0) * level, -1, 1)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(np.repeat(np.rint(32767 * said).astype("<i2"), channels).tobytes())
    return path


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("face") / "face.png"
    cv2.imwrite(str(path), astronaut()[:300, 90:390])
    return path


def test_a_picture_says_it(face: Path, tmp_path: Path) -> None:
    voice, goal = record(tmp_path / "voice.wav", 2), tmp_path / "talk.mp4"
    report = tmp_path / "talk.json"
    ended = file(
        voice, goal, "--portrait", face, "--consent", "--emotion", "happy", "--report", report,
        home=tmp_path / "home",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found, length = probe(str(goal)), extent(str(goal))
    assert found.frames == 50 and found.audio_codec == "aac"
    assert float(found.rate_hz) == pytest.approx(25, abs=0.1)
    assert abs(length.video_s - 2) < 0.05
    with av.open(str(goal)) as container:
        assert "made" in container.metadata["comment"]
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    moved = np.abs(pictures[30].astype(int) - pictures[10]).mean(axis=2)
    assert moved[40:140].max() > 20 and moved[240:].mean() < 3
    told = json.loads(report.read_text())
    assert np.shape(told["weights"]) == (50, 52)
    assert told["emotion"][-1][told["emotions"].index("happy")] == pytest.approx(0.7, abs=0.05)
    # The picture's hash is kept, so nobody is asked twice.
    assert len(json.loads((tmp_path / "home/mien/portraits.json").read_text())) == 1
    assert "--consent" not in ended.stderr


@pytest.mark.parametrize("channels", [1, 8])
def test_a_voice_becomes_numbers(tmp_path: Path, channels: int) -> None:
    voice = record(tmp_path / "voice.wav", 1.5, level=3, channels=channels)  # it is clipped, too
    ended = file(voice, tmp_path / "face.csv", home=tmp_path)
    assert ended.returncode == 0, ended.stderr
    head, *rows = list(csv.reader((tmp_path / "face.csv").read_text().splitlines()))
    assert len(rows) == 38 and head[2] == "EyeBlinkLeft"
    jaw = [float(row[head.index("JawOpen")]) for row in rows]
    assert max(jaw) > 0.02


def test_what_cannot_be_is_said_in_one_line(
    face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    voice = record(tmp_path / "voice.wav", 0.5)
    empty = tmp_path / "empty.png"
    cv2.imwrite(str(empty), np.full((200, 200, 3), 128, np.uint8))
    short = record(tmp_path / "short.wav", 0.03)
    headless, pipe = tmp_path / "headless.wav", tmp_path / "pipe.png"
    headless.write_bytes(b"\xff" * 40 + voice.read_bytes()[40:])
    os.mkfifo(pipe)
    silent = tmp_path / "silent.mp4"
    with av.open(str(silent), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="bgr24")
        container.mux([*stream.encode(picture), *stream.encode()])
    cases = [
        ((voice, tmp_path / "o.mp4", "--portrait", empty), 1, "no face in empty.png"),
        ((voice, tmp_path / "o.mp4", "--portrait", tmp_path / "no.jpg"), 1, "no.jpg"),
        ((voice, tmp_path / "o.txt", "--portrait", face), 2, "OUT should end in"),
        ((silent, tmp_path / "o.csv"), 1, "no sound"),
        ((tmp_path / "no.wav", tmp_path / "o.csv"), 1, "no such file"),
        ((voice, tmp_path / "o.json", "--person", "anna"), 2, "--portrait"),
        ((short, tmp_path / "o.csv"), 1, "short.wav is shorter than 40 ms; nothing was written"),
        ((short, tmp_path / "o.mp4", "--portrait", face), 1, "short.wav is shorter than 40 ms"),
        ((headless, tmp_path / "o.json"), 1, "is it a whole video or sound file?"),
        ((voice, tmp_path / "o.mp4", "--portrait", pipe, "--consent"), 1, "is a pipe, not a file"),
    ]
    for arguments, code, words in cases:
        assert main(["file", *map(str, arguments)]) == code
        assert words in capsys.readouterr().err.strip().splitlines()[-1]
    left = {path.name for path in tmp_path.iterdir()} - {"mien"}
    twice = ["file", str(voice), "o.mp4", "--portrait", str(face), "--portrait", str(empty)]
    with pytest.raises(SystemExit, match="2"):
        main(twice)
    assert capsys.readouterr().err.endswith("--portrait: a file shows one; give it once\n")
    given = {"voice.wav", "empty.png", "silent.mp4", "short.wav", "headless.wav", "pipe.png"}
    assert left == given
