"""The server's manners: who may speak to it, what it says to those who may not."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import socket
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from engine.errors import MienError
from nodes.web import security
from nodes.web.webrtc_out import WebrtcOut
from nodes.web.whip import Whip
from tests.loopback.conftest import Start
from tests.loopback.rig import Engine, Pictures, offer_of, until

SDP = {"Content-Type": "application/sdp"}


async def ask(method: str, url: str, **arguments: Any) -> tuple[int, str, dict[str, str]]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, allow_redirects=False, **arguments) as response,
    ):
        return response.status, await response.text(), dict(response.headers)


def header(fields: dict[str, str]) -> str:
    return "\r\n".join(f"{name}: {value}" for name, value in fields.items())


async def raw(port: int, request: str) -> bytes:
    """Send it byte for byte, with the end of headers where there is none; the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    end = "" if "\r\n\r\n" in request else "\r\nConnection: close\r\n\r\n"
    writer.write((request + end).encode(errors="surrogateescape"))
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


def one_line(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith("\n") and len(text) > 15


BROKEN = {
    "empty": "",
    "no SDP": "hello",
    "cut short": "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\nm=video",
    "no media": "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
    "no fingerprint": (
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\n"
        "a=rtpmap:96 VP8/90000\r\na=setup:actpass\r\n"
    ),
    "no codec of ours": (
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\n"
        "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"
        "a=fingerprint:sha-256 " + ":".join(["AA"] * 32) + "\r\n"
        "a=rtpmap:96 AV9/90000\r\na=setup:actpass\r\na=rtcp-mux\r\n"
    ),
    "nulls": "v=0\r\n" + "\0" * 100,
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_offer_is_refused_in_one_line(web: Start, name: str) -> None:
    pair = await web()
    status, text, _ = await ask("POST", pair.url + "/session", data=BROKEN[name], headers=SDP)
    assert status == 400
    assert one_line(text)
    assert not pair.browser._peers


async def test_bodies_types_methods_and_paths(web: Start) -> None:
    pair = await web()
    status, text, _ = await ask("POST", pair.url + "/session", data=b"v" * 70_000, headers=SDP)
    assert status == 413 and one_line(text)
    status, text, _ = await ask("POST", pair.url + "/session", data=b"v=0")
    assert status == 415 and one_line(text)
    status, text, _ = await ask("PATCH", pair.url + "/session/abc", data="x")
    assert status == 404 and one_line(text)
    status, text, _ = await ask("DELETE", pair.url + "/session/abc")
    assert status == 404 and one_line(text)
    status, text, _ = await ask("GET", pair.url + "/nothing")
    assert status == 404 and one_line(text)
    status, text, _ = await ask("GET", pair.url + "/session")
    assert status == 405 and one_line(text)
    status, text, _ = await ask("GET", pair.url + "/static/../server.py")
    assert status == 404
    status, text, _ = await ask("GET", pair.url + "/healthz")
    assert (status, json.loads(text)) == (200, {"ok": True})


async def test_a_50_mb_body_is_refused_without_being_read(web: Start) -> None:
    pair = await web()
    before = psutil.Process().memory_info().rss
    reader, writer = await asyncio.open_connection("127.0.0.1", pair.out._server.port)
    head = (
        f"POST /session HTTP/1.1\r\nHost: {pair.url[7:]}\r\nContent-Type: application/sdp\r\n"
        "Content-Length: 50000000\r\n\r\n"
    )
    writer.write(head.encode())
    sent = 0
    try:
        async with asyncio.timeout(5):
            while sent < 50_000_000:
                writer.write(b"v" * 65_536)
                await writer.drain()
                sent += 65_536
    except ConnectionError:
        pass  # cut off: the answer was given after the head
    writer.close()
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await reader.read(12)
    assert answer == b"HTTP/1.1 413" or sent < 50_000_000
    assert psutil.Process().memory_info().rss - before < 20_000_000


async def test_a_chunked_body_without_end_is_cut_off(web: Start) -> None:
    pair = await web()

    async def endless() -> Any:
        while True:
            yield b"v" * 16_384
            await asyncio.sleep(0)

    async with aiohttp.ClientSession() as session:
        try:
            async with (
                asyncio.timeout(5),
                session.post(pair.url + "/session", data=endless(), headers=SDP) as response,
            ):
                assert response.status == 413
        except (aiohttp.ClientError, ConnectionError):
            pass  # cut off before the answer was read


async def test_only_its_own_page_may_drive_it(web: Start) -> None:
    pair = await web()
    for origin in ("http://evil.example", "null", "https://127.0.0.1:1", pair.url + ".evil"):
        for method, path in (
            ("POST", "/session"),
            ("POST", "/whep"),
            ("POST", "/whip"),
            ("GET", "/ws"),
        ):
            status, text, _ = await ask(method, pair.url + path, headers={"Origin": origin, **SDP})
            assert status == 403 and one_line(text), (origin, path)
    status, _, _ = await ask(
        "POST", pair.url + "/session", data="x", headers={"Origin": pair.url, **SDP}
    )
    assert status == 400  # let in, then refused for what it says


async def test_another_name_for_loopback_is_refused(web: Start) -> None:
    pair = await web()
    port = pair.url.rpartition(":")[2]
    for host in (f"evil.example:{port}", "169.254.169.254", "127.0.0.1.evil.example"):
        status, text, _ = await ask("GET", pair.url + "/healthz", headers={"Host": host})
        assert status == 403 and one_line(text)
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        status, _, _ = await ask("GET", pair.url + "/healthz", headers={"Host": host})
        assert status == 200


async def test_the_page_is_served_strictly(web: Start) -> None:
    pair = await web()
    status, _, headers = await ask("GET", pair.url + "/")
    assert status in (200, 404)  # 404: the page isn't built in this checkout
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "http:" not in policy.replace("ws://", "")
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_connections_are_bounded_in_rate_and_bad_offers_cost_none(
    web: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "NEGOTIATIONS", (10.0, 0.01))
    pair = await web()
    answers = [(await ask("POST", pair.url + "/whep", data="x", headers=SDP)) for _ in range(40)]
    assert {status for status, _, _ in answers} == {400}
    offer = await offer_of("audio")
    answers = [(await ask("POST", pair.url + "/whep", data=offer, headers=SDP)) for _ in range(12)]
    assert [status for status, _, _ in answers] == [201] * 10 + [429] * 2
    assert one_line(answers[-1][1]) and int(answers[-1][2]["Retry-After"]) >= 1
    assert len(pair.out._viewers) <= pair.out.config.max_viewers  # who never connected gave way


async def test_strangers_dont_use_up_what_the_page_may_ask(web: Start) -> None:
    pair = await web()
    foreign = [
        {"Origin": "http://evil.example"},
        {"Host": "evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "iframe"},
    ]
    async with aiohttp.ClientSession() as session:
        for number in range(400):
            async with session.get(pair.url + "/healthz", headers=foreign[number % 4]) as response:
                assert response.status == 403
        async with session.get(pair.url + "/healthz") as response:
            assert response.status == 200
        linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
        async with session.get(pair.url + "/", headers=linked) as response:
            assert response.status == 200


async def test_off_loopback_a_token_is_asked_for(web: Start) -> None:
    pair = await web(host="0.0.0.0")
    assert "--cert" in pair.engine.status["out"][1]
    token = pair.out.url.partition("token=")[2]
    assert len(token) > 20
    url = f"http://127.0.0.1:{pair.out._server.port}"
    status, text, headers = await ask("GET", url + "/")
    assert status == 401 and one_line(text) and headers["WWW-Authenticate"] == "Bearer"
    assert (await ask("POST", url + "/whep", data="x", headers=SDP))[0] == 401
    status, _, headers = await ask("GET", f"{url}/?token={token}")
    assert status == 302
    assert headers["Location"] == "/"
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    status, _, headers = await ask("GET", f"{url}/?token={token}&watch&clean&background=%23fff")
    assert status == 302 and headers["Location"] == "/?watch=&clean=&background=%23fff"
    status, _, _ = await ask("GET", url + "/metrics", cookies={"mien_token": token})
    assert status == 200
    bearer = {"Authorization": f"Bearer {token}", **SDP}
    assert (await ask("POST", url + "/whep", data="x", headers=bearer))[0] == 400
    guesses = [(await ask("GET", f"{url}/?token=guess{n}"))[0] for n in range(14)]
    assert guesses[0] == 401 and guesses[-1] == 429
    assert (await ask("GET", url + "/metrics", cookies={"mien_token": token}))[0] == 200
    for odd in ({"Authorization": "Bearer \udcff"}, {"Cookie": "mien_token=\udcff"}):
        answer = await raw(pair.out._server.port, f"GET / HTTP/1.1\r\nHost: x\r\n{header(odd)}")
        assert answer.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    "request_",
    [
        "GET / HTTP/1.1\r\nHost: [",
        "GET / HTTP/1.1\r\nHost: \udcff",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: [\udcff",
        "GET /static/" + "a" * 4000 + " HTTP/1.1\r\nHost: 127.0.0.1",
        "GET /static/%00 HTTP/1.1\r\nHost: 127.0.0.1",
        "POST /whep HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/sdp\r\n"
        "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nv=0",
    ],
)  # fmt: skip
async def test_odd_requests_are_refused_in_one_line(
    web: Start, request_: str, caplog: pytest.LogCaptureFixture
) -> None:
    pair = await web()
    answer = await raw(pair.out._server.port, request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 4")
    assert one_line(body.decode())
    assert "Traceback" not in caplog.text


async def test_a_port_in_use_is_named_with_its_fix(web: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        engine = Engine()
        with pytest.raises(MienError, match=rf"port {port} on 127.0.0.1 is in use.*--port"):
            await engine.add("out", WebrtcOut, port=port)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"cert": "/nowhere.pem"}, "both"),
        ({"cert": "/nowhere.pem", "key": "/nowhere.key"}, "no such file"),
        ({"host": "203.0.113.7"}, "can't be bound"),
        ({"token": "1234"}, "could be guessed"),
        ({"host": "no.such.name.invalid"}, "can't be bound"),
    ],
)
async def test_wrong_options_are_named(config: dict[str, str], words: str) -> None:
    engine = Engine()
    with pytest.raises(MienError, match=words) as caught:
        await engine.add("out", WebrtcOut, port=0, **config)
    assert "\n" not in str(caught.value)


def with_a_phrase(folder: Path) -> dict[str, str]:
    """A certificate, and its key behind a pass phrase."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    pem, locked = serialization.Encoding.PEM, serialization.BestAvailableEncryption(b"secret")
    kind = serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, kind, locked))
    return {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}


async def test_a_key_with_a_pass_phrase_is_refused_not_asked_for(tmp_path: Path) -> None:
    config = with_a_phrase(tmp_path)
    with pytest.raises(MienError, match=r"asks for a pass phrase.*openssl pkey -in") as caught:
        await Engine().add("out", WebrtcOut, port=0, **config)
    assert "\n" not in str(caught.value)


async def test_a_key_from_a_pipe_does_not_hang(tmp_path: Path) -> None:
    config = with_a_phrase(tmp_path)
    (tmp_path / "key.pem").unlink()
    os.mkfifo(tmp_path / "key.pem")
    with pytest.raises(MienError, match=r"key\.pem is a pipe, not a file"):
        await Engine().add("out", WebrtcOut, port=0, **config)


async def test_too_many_viewers(web: Start) -> None:
    pair = await web(max_viewers=1)
    viewer = await pair.client().view(kinds=("video",))
    await until(lambda: viewer.connection.connectionState == "connected", "the viewer")
    offer = viewer.connection.localDescription.sdp
    status, text, _ = await ask("POST", pair.url + "/whep", data=offer, headers=SDP)
    assert status == 503 and "max_viewers" in text


async def test_obs_takes_the_place_of_the_page(web: Start) -> None:
    pair = await web()
    client = await pair.client().publish("/whip", Pictures(160, 120))
    await until(lambda: len(pair.engine.emitted["browser.video"]) > 5, "pictures")
    assert client.location.startswith("/whip/")
    assert len(pair.browser._peers) == 1


async def test_whip_takes_a_stream_and_delete_ends_it(web: Start) -> None:
    pair = await web(whip=False)
    status, text, _ = await ask("POST", pair.url + "/whip", data="v=0", headers=SDP)
    assert status == 503 and "nodes.web.whip:Whip" in text
    whip = await pair.engine.add("whip", Whip)
    client = await pair.client().publish("/whip", Pictures(160, 120))
    await until(lambda: len(pair.engine.emitted["whip.video"]) > 5, "pictures")
    assert client.location.startswith("/whip/")
    status, _, _ = await ask("DELETE", pair.url + client.location.replace("/whip", "/whep"))
    assert status == 404
    status, _, _ = await ask("DELETE", pair.url + client.location)
    assert status == 200
    assert not whip._peers
    assert pair.engine.status["whip"][0] == "waiting"


async def test_metrics_for_prometheus(web: Start) -> None:
    pair = await web()
    status, text, headers = await ask("GET", pair.url + "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    assert 'mien_edge_dropped_total{edge="a.b->c.d"} 1.0' in text
    assert 'mien_process_resident_bytes{process="net"} 1.048576e+07' in text
    assert 'mien_process_seconds{node="out",quantile="0.5"} 0.001' in text
    assert 'mien_node_state{node="out",state="ok"} 1.0' in text
