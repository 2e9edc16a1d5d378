"""Behind a proxy that ends TLS, over IPv6, and players on other pages."""

from __future__ import annotations

import socket

import aiohttp
import pytest

from engine.errors import MienError
from nodes.web.webrtc_out import WebrtcOut
from tests.loopback.conftest import Start
from tests.loopback.rig import Engine, Pictures, until
from tests.loopback.test_web_http import SDP, ask, one_line

TOKEN = "a-token-of-sixteen"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PUBLIC = {"Origin": "https://avatar.example", "Host": "avatar.example"}


async def test_the_public_address_is_the_pages_own(web: Start) -> None:
    pair = await web(public_url="https://avatar.example/", token=TOKEN)
    assert pair.out.url == f"https://avatar.example/?token={TOKEN}"
    url = f"http://127.0.0.1:{pair.out._server.port}"
    for host in ("avatar.example", "127.0.0.1"):  # proxies keep the host, or name the server's
        headers = {**SDP, **BEARER, **PUBLIC, "Host": host}
        status, text, answered = await ask("POST", url + "/session", data="v=0", headers=headers)
        assert status == 400, text
        assert "wss://avatar.example" in answered["Content-Security-Policy"]
    other = {**SDP, **BEARER, **PUBLIC, "Origin": "http://avatar.example"}
    status, text, _ = await ask("POST", url + "/session", data="v=0", headers=other)
    assert status == 403 and one_line(text)
    status, text, _ = await ask("GET", url + "/", headers={"Host": "other.example"})
    assert status == 403 and "--public-url" in text
    _, _, answered = await ask("GET", f"{url}/?token={TOKEN}", headers={"Host": "avatar.example"})
    assert "Secure" in answered["Set-Cookie"]


async def test_a_public_address_asks_for_a_token(web: Start) -> None:
    pair = await web(public_url="https://avatar.example")
    assert len(pair.out.url.partition("token=")[2]) > 20


@pytest.mark.parametrize(("proxies", "expected"), [("", 403), ("127.0.0.0/8", 400)])
async def test_forwarded_pages_count_from_trusted_proxies(
    web: Start, proxies: str, expected: int
) -> None:
    pair = await web(trusted_proxies=proxies)
    page = {
        **SDP, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "avatar.example",
        "Origin": "https://avatar.example",
    }  # fmt: skip
    status, text, _ = await ask("POST", pair.url + "/session", data="v=0", headers=page)
    assert status == expected and one_line(text)


async def test_each_client_of_a_proxy_has_its_own_rate(web: Start) -> None:
    pair = await web(trusted_proxies="127.0.0.1")
    requests = pair.out._server.guard._requests
    for client in ("203.0.113.1", "203.0.113.2"):
        headers = {"X-Forwarded-For": client}
        assert (await ask("GET", pair.url + "/", headers=headers))[0] == 200
    assert list(requests._levels) == ["203.0.113.1", "203.0.113.2"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"public_url": "avatar.example"}, "--public-url takes"),
        ({"trusted_proxies": "proxy"}, "--trust-proxy takes"),
    ],
)
async def test_wrong_fronts_are_named(config: dict[str, str], words: str) -> None:
    engine = Engine()
    with pytest.raises(MienError, match=words):
        await engine.add("out", WebrtcOut, port=0, **config)


async def test_a_player_on_another_page(web: Start) -> None:
    pair = await web(token=TOKEN)
    origin = {"Origin": "https://player.example"}
    wish = {"Access-Control-Request-Method": "POST"}
    for path in ("/whep", "/whip/", "/whep/abc"):
        status, _, answered = await ask("OPTIONS", pair.url + path, headers={**origin, **wish})
        assert status == 204
        assert answered["Access-Control-Allow-Origin"] == "https://player.example"
        assert "Authorization" in answered["Access-Control-Allow-Headers"]
        assert "PATCH" in answered["Access-Control-Allow-Methods"]
    headers = {**SDP, **origin}
    status, _, answered = await ask(
        "POST", pair.url + "/whep/", data="v=0", headers={**headers, **BEARER}
    )
    assert status == 400 and answered["Access-Control-Allow-Origin"] == "https://player.example"
    assert "Location" in answered["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answered
    wrong = {**headers, "Authorization": "Bearer wrong"}
    assert (await ask("POST", pair.url + "/whep", data="v=0", headers=wrong))[0] == 401
    for path, extra in (
        ("/session", BEARER),  # only players come from elsewhere
        ("/whep", {"Cookie": f"mien_token={TOKEN}"}),  # and never by what a browser adds itself
        ("/whep", {}),
    ):
        status, text, answered = await ask(
            "POST", pair.url + path, data="v=0", headers={**headers, **extra}
        )
        assert status == 403 and one_line(text)
        assert "Access-Control-Allow-Origin" not in answered


async def test_without_a_token_no_other_page_plays(web: Start) -> None:
    pair = await web()
    headers = {"Origin": "https://player.example"}
    status, text, answered = await ask("OPTIONS", pair.url + "/whep", headers=headers)
    assert status == 403 and one_line(text) and "Access-Control-Allow-Origin" not in answered


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
@pytest.mark.parametrize("host", ["::1", "::"])
async def test_over_ipv6(web: Start, host: str) -> None:
    pair = await web(host=host, token=TOKEN)
    port = pair.out._server.port
    url = f"http://[::1]:{port}"
    if host == "::1":
        assert pair.out.url.startswith(url)
    else:  # every address, as the printed one of IPv4 promises
        assert (await ask("GET", f"http://127.0.0.1:{port}/healthz"))[0] == 200
    status, text, answered = await ask("GET", url + "/", headers=BEARER)
    assert status == 200, text
    assert "ws://[" not in answered["Content-Security-Policy"]  # which browsers would complain of
    client = pair.client()
    client.connection.addTrack(Pictures(160, 120))
    await client.connection.setLocalDescription(await client.connection.createOffer())
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            url + "/session", data=client.connection.localDescription.sdp,
            headers={**SDP, **BEARER, "Origin": url},
        ) as response,
    ):  # fmt: skip
        assert response.status == 201, await response.text()
        await client.take(await response.text())
    await until(lambda: len(pair.engine.emitted["browser.video"]) > 2, "pictures")
