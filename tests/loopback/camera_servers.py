"""Cameras of a network, over loopback: MJPEG by HTTP, H.264 by RTSP, and a file by HTTP."""

from __future__ import annotations

import contextlib
import itertools
import mimetypes
import socket
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import cv2

from tests.made_media import numbered

RATE_HZ = 25
EACH = 8
"""pictures in a row that carry the same number: on a busy machine many are skipped"""


class Mjpeg:
    """``url`` sends numbered pictures, at ``most`` so many; then the line is closed, or stays open
    without a word if ``silent`` is set. Or it sends a ``file``, or an ``answer`` of refusal."""

    def __init__(self) -> None:
        self.most = 10**9
        self.silent = threading.Event()
        self.end = threading.Event()
        self.answer = 200
        self.file: Path | None = None
        self.visits = 0
        self.sent = 0
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    camera._answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/video"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.visits += 1
        handler.send_response(self.answer)
        if self.answer != 200 or self.file is not None:
            content = b"" if self.file is None else self.file.read_bytes()
            if self.file is not None and (kind := mimetypes.guess_type(self.file.name)[0]):
                handler.send_header("Content-Type", kind)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
            return
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        handler.end_headers()
        for number in range(self.most):
            if self.end.wait(1 / RATE_HZ):
                return
            jpeg = cv2.imencode(".jpg", numbered(number // EACH % 37))[1].tobytes()
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            handler.wfile.write(head.encode() + jpeg + b"\r\n")
            self.sent = number
        if self.silent.is_set():
            self.end.wait(20)

    def close(self) -> None:
        self.end.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Rtsp:
    """``url`` sends numbered pictures as H.264, by RTP inside the RTSP connection."""

    def __init__(self, password: str = "") -> None:
        self.password = password
        self._end = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{port}/stream"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while not self._end.is_set():
                line, _ = self._listener.accept()
                thread = threading.Thread(target=self._guarded, args=(line,))
                self._threads.append(thread)
                thread.start()

    def _guarded(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            self._talk(line)

    def _talk(self, line: socket.socket) -> None:
        requests = line.makefile("rb")
        while head := requests.readline().decode().split():
            fields = {}
            while field := requests.readline().decode().strip():
                name, _, value = field.partition(":")
                fields[name.lower()] = value.strip()
            status, more, body = "200 OK", "", ""
            if self.password and "authorization" not in fields:
                status, more = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n'
            elif head[0] == "DESCRIBE":
                more = f"Content-Base: {self.url}/\r\nContent-Type: application/sdp\r\n"
                body = (
                    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
                    "a=fmtp:96 packetization-mode=1\r\na=control:track0\r\n"
                )
            elif head[0] == "SETUP":
                more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            elif head[0] == "PLAY":
                more = "Session: 1\r\n"
            answer = f"RTSP/1.0 {status}\r\nCSeq: {fields['cseq']}\r\n{more}"
            answer += f"Content-Length: {len(body)}\r\n\r\n{body}"
            line.sendall(answer.encode())
            if head[0] == "PLAY":
                self._send(line)
                return

    def _send(self, line: socket.socket) -> None:
        sequence = itertools.count()
        for number, nals in enumerate(h264()):
            if self._end.wait(1 / RATE_HZ):
                return
            for last, nal in zip([*[False] * (len(nals) - 1), True], nals, strict=True):
                head = struct.pack(
                    ">BBHII", 0x80, 96 | last << 7, next(sequence), number * 90_000 // RATE_HZ, 7
                )
                packet = head + nal
                line.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)

    def close(self) -> None:
        self._end.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


def h264() -> Iterator[list[bytes]]:
    """Numbered pictures without end, each as its NAL units; every tenth needs no other."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 160, 96, "yuv420p"
    encoder.framerate = RATE_HZ
    encoder.gop_size = 10
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "slices=1"}
    for count in itertools.count():
        frame = av.VideoFrame.from_ndarray(numbered(count // EACH % 37), format="bgr24")
        frame.pts = count
        for packet in encoder.encode(frame):
            units = bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
            yield [unit for unit in units if unit]
