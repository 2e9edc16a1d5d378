"""Cameras given as an address: pictures come, go, come back, and what is wrong is one line."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cluster.certificate import Certificate
from engine.errors import UsageError
from engine.node import Context
from engine.parameters import build
from engine.types import VideoFrame
from nodes.sources import network_camera
from nodes.sources.network_camera import NetworkCamera, check_address, without_secrets
from tests.loopback.camera_servers import EACH, Mjpeg, Rtsp
from tests.loopback.tls_front import behind_tls
from tests.made_media import make_video, number_in, numbered

WITHIN_S = 30.0


class Bench:
    """A NetworkCamera at an address, with what it said."""

    def __init__(self, address: str, answer_s: float = 6.0) -> None:
        self.statuses: list[tuple[str, str]] = []
        self.counts: dict[str, int] = {}
        context = Context(
            status=lambda condition, text: self.statuses.append((condition, text)),
            count=lambda name, n: self.counts.__setitem__(name, self.counts.get(name, 0) + n),
        )
        config = build(NetworkCamera.Config, {"address": address, "answer_s": answer_s})
        self.node = NetworkCamera(config, context)
        self.node.setup()

    def read(self, count: int) -> list[VideoFrame]:
        """So many pictures."""
        frames: list[VideoFrame] = []
        deadline_s = time.monotonic() + WITHIN_S
        while len(frames) < count:
            assert time.monotonic() < deadline_s, f"{len(frames)} pictures; {self.statuses[-3:]}"
            if (frame := self.node.read()) is not None:
                frames.append(frame)
        return frames

    def problem(self) -> str:
        """What it says when it fails next."""
        deadline_s = time.monotonic() + WITHIN_S
        while not (self.statuses and self.statuses[-1][0] == "failed"):
            assert time.monotonic() < deadline_s
            self.node.read()
        return self.statuses[-1][1]


@pytest.fixture(autouse=True)
def threads_end() -> Iterator[None]:
    yield
    deadline_s = time.monotonic() + WITHIN_S
    while any(thread.name == "network camera" for thread in threading.enumerate()):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.fixture
def mjpeg() -> Iterator[Mjpeg]:
    camera = Mjpeg()
    yield camera
    camera.close()


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_camera, "_REOPEN_NS", 100_000_000)


def steps(frames: list[VideoFrame]) -> list[int]:
    """By how much each picture's number is larger than the one's before; after 36 comes 0."""
    told = [number_in(frame.pixels) for frame in frames]
    return [(after - before) % 37 for before, after in pairwise(told)]


def test_pictures_by_http(mjpeg: Mjpeg) -> None:
    bench = Bench(mjpeg.url)
    frames = bench.read(2 * EACH)
    bench.node.close()
    assert all(step < 20 for step in steps(frames)) and any(steps(frames))
    assert [frame.cut for frame in frames] == [True] + [False] * (2 * EACH - 1)
    stamps = [frame.capture_ns for frame in frames]
    assert stamps == sorted(set(stamps))
    assert 0 <= time.monotonic_ns() - stamps[-1] < 5e9
    assert bench.statuses[-1] == ("ok", "")


def test_pictures_by_rtsp() -> None:
    camera = Rtsp()
    try:
        bench = Bench(camera.url)
        frames = bench.read(2 * EACH)
        bench.node.close()
    finally:
        camera.close()
    assert all(step < 20 for step in steps(frames)) and any(steps(frames))
    assert frames[0].pixels.shape == (96, 160, 3)


def test_a_slow_taker_gets_the_newest(mjpeg: Mjpeg) -> None:
    bench = Bench(mjpeg.url)
    bench.read(1)
    while mjpeg.sent < 6 * EACH:
        time.sleep(0.01)
    (frame,) = bench.read(1)
    bench.node.close()
    assert number_in(frame.pixels) >= 4


def test_a_camera_that_ends_and_comes_back(mjpeg: Mjpeg) -> None:
    mjpeg.most = 5
    bench = Bench(mjpeg.url)
    bench.read(2)
    assert "has stopped; it is tried again" in bench.problem()
    assert bench.counts["lost"] == 1
    assert bench.read(1)[0].cut
    assert bench.statuses[-1] == ("ok", "")
    bench.node.close()
    assert mjpeg.visits >= 2


def test_a_camera_that_goes_silent(mjpeg: Mjpeg) -> None:
    mjpeg.most = 5
    mjpeg.silent.set()
    bench = Bench(mjpeg.url, answer_s=0.5)
    bench.read(2)
    assert "does not answer" in bench.problem()
    bench.node.close()


def test_reading_never_blocks_for_long(mjpeg: Mjpeg) -> None:
    mjpeg.most = 0
    mjpeg.silent.set()
    bench = Bench(mjpeg.url, answer_s=1.0)
    for _ in range(5):
        began_s = time.monotonic()
        assert bench.node.read() is None
        assert time.monotonic() - began_s < 1
    began_s = time.monotonic()
    bench.node.close()
    assert time.monotonic() - began_s < 0.5


def test_a_recording_is_played_in_its_own_time(mjpeg: Mjpeg, tmp_path: Path) -> None:
    mjpeg.file = make_video(tmp_path / "a.mkv", [numbered(i) for i in range(37)])
    bench = Bench(mjpeg.url)
    began_s = time.monotonic()
    frames = bench.read(12)
    bench.node.close()
    # At full speed 37 pictures of 40 ms would be over in a moment.
    assert time.monotonic() - began_s > 0.04 * sum(steps(frames)) * 0.8
    assert all(steps(frames))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (401, "wants a name and a password"),
        (404, "has nothing at that path"),
        (500, "cannot be reached (Server returned 5XX"),
    ],
)
def test_what_is_wrong_is_one_line(mjpeg: Mjpeg, answer: int, says: str) -> None:
    mjpeg.answer = answer
    bench = Bench(mjpeg.url.replace("http://", "http://me:secret@") + "?key=secret")
    problem = bench.problem()
    bench.node.close()
    assert says in problem
    assert "secret" not in problem and "\n" not in problem


def test_no_password_for_rtsp() -> None:
    camera = Rtsp(password="secret")
    try:
        bench = Bench(camera.url)
        assert "wants a name and a password" in bench.problem()
        bench.node.close()
        bench = Bench(camera.url.replace("rtsp://", "rtsp://me:secret@"))
        assert bench.read(1)
        bench.node.close()
    finally:
        camera.close()


def test_nobody_listens() -> None:
    camera = Mjpeg()
    camera.close()
    bench = Bench(camera.url)
    assert "refuses to talk at that port" in bench.problem()
    bench.node.close()


def test_a_playlist_cannot_name_files_of_this_machine(mjpeg: Mjpeg, tmp_path: Path) -> None:
    own = make_video(tmp_path / "own.ts", [numbered(3)] * 30, container="mpegts")
    mjpeg.file = tmp_path / "list.m3u8"
    mjpeg.file.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{own}\n")
    bench = Bench(mjpeg.url.replace("/video", "/list.m3u8"), answer_s=2.0)
    assert bench.problem()
    bench.node.close()
    assert "ok" not in [condition for condition, _ in bench.statuses]


@pytest.fixture
def made(tmp_path: Path) -> Certificate:
    return Certificate.made(tmp_path, "127.0.0.1")


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


@pytest.mark.parametrize("scheme", ["https", "rtsps"])
def test_pictures_by_tls_from_who_proves_to_be_the_camera(
    scheme: str, made: Certificate, mjpeg: Mjpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    rtsp = Rtsp()
    plain = rtsp.url if scheme == "rtsps" else mjpeg.url
    with behind_tls(port_of(plain), made) as port:
        address = f"{scheme}://me:secret@127.0.0.1:{port}{urlsplit(plain).path}"
        rtsp.url = f"rtsp://127.0.0.1:{port}/stream"
        bench = Bench(address)
        problem = bench.problem()
        assert "its certificate isn't trusted: self-signed certificate; SSL_CERT_FILE=" in problem
        assert "secret" not in problem and "\n" not in problem and not mjpeg.visits
        monkeypatch.setenv("SSL_CERT_FILE", made.cert)
        assert bench.read(2)  # by itself
        assert bench.statuses[-1] == ("ok", "")
        bench.node.close()
    rtsp.close()


@pytest.mark.parametrize("path", ["live.m3u8", "live"])
def test_a_playlists_pieces_come_from_who_is_trusted(
    path: str, made: Certificate, mjpeg: Mjpeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other, pieces = Certificate.made(tmp_path / "other", "127.0.0.1"), Mjpeg()
    pieces.file = make_video(
        tmp_path / "a.ts", [numbered(i) for i in range(37)], container="mpegts"
    )
    mjpeg.file = tmp_path / "list.m3u8"
    with (
        behind_tls(port_of(mjpeg.url), made) as port,
        behind_tls(port_of(pieces.url), other) as untrusted,
        behind_tls(port_of(pieces.url), made) as trusted,
    ):

        def play(pieces_at: int) -> None:
            head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.48,\n"
            end = f"https://127.0.0.1:{pieces_at}/a.ts\n#EXT-X-ENDLIST\n"
            (tmp_path / "list.m3u8").write_text(head + end)

        monkeypatch.setenv("SSL_CERT_FILE", made.cert)
        play(untrusted)
        bench = Bench(f"https://127.0.0.1:{port}/{path}", answer_s=2.0)
        assert "its certificate isn't trusted" in bench.problem()
        assert not pieces.visits
        play(trusted)
        assert len(bench.read(3)) == 3
        bench.node.close()
    pieces.close()


def test_nothing_is_said_to_who_isnt_trusted(made: Certificate, tmp_path: Path) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hear() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as line:
                        heard.append(line.recv(16))

        hearing = threading.Thread(target=hear, daemon=True)
        hearing.start()
        with behind_tls(server.getsockname()[1], made) as port:
            bench = Bench(f"rtmps://127.0.0.1:{port}/live/x")
            assert "isn't trusted" in bench.problem()
            bench.node.close()
        server.shutdown(socket.SHUT_RDWR)
        hearing.join()
    assert not any(heard)


def test_a_certificate_of_another_and_who_speaks_no_tls(
    mjpeg: Mjpeg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = Certificate.made(tmp_path, "10.9.9.9")
    monkeypatch.setenv("SSL_CERT_FILE", another.cert)
    with behind_tls(port_of(mjpeg.url), another) as port:
        bench = Bench(f"https://127.0.0.1:{port}/video")
        assert "use the address that it is for" in bench.problem()
        bench.node.close()
    bench = Bench(mjpeg.url.replace("http:", "https:"))
    assert "it doesn't speak TLS" in bench.problem()
    bench.node.close()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("file:///etc/passwd", "cannot be read by 'file://'; what can be: rtsp://"),
        ("rtsp:///stream", "names no host"),
        ("rtsp://me:secret@[::1/stream", "names no host"),
        ("rtsp://me:secret@host:door/stream", "names no host"),
        ("", "cannot be read by"),
    ],
)
def test_an_address_that_cannot_be_is_one_line(address: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        check_address(address)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_addresses_are_shown_without_secrets() -> None:
    for secret in ("", "me:pass@", "me:pa?s#s/w@ord@"):
        shown = without_secrets(f"rtsp://{secret}10.0.0.2:554/live?token=1#x")
        assert shown == "rtsp://10.0.0.2:554/live"
