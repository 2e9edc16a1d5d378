"""WHIP and WHEP over HTTP as RFC 9725 says: headers, OPTIONS, candidates that come later."""

from __future__ import annotations

import re

import aiohttp
import pytest

from tests.loopback.conftest import Start
from tests.loopback.rig import Client, Pictures, until
from tests.loopback.test_web_http import SDP, ask, one_line

FRAGMENT = "application/trickle-ice-sdpfrag"


async def offered(client: Client) -> str:
    """The offer of a client that publishes pictures."""
    client.connection.addTrack(Pictures(160, 120))
    await client.connection.setLocalDescription(await client.connection.createOffer())
    return client.connection.localDescription.sdp


async def test_what_a_session_says(web: Start) -> None:
    pair = await web(ice_servers='stun:192.0.2.1:3478, turn:192.0.2.2?user=a"b&password=c\\d')
    offer = await offered(pair.client())
    async with (
        aiohttp.ClientSession() as session,
        session.post(pair.url + "/whip", data=offer, headers=SDP) as response,
    ):
        assert response.status == 201 and response.content_type == "application/sdp"
        assert re.fullmatch(r"/whip/[\w-]{12}", response.headers["Location"])
        assert re.fullmatch(r'"[\w-]+"', response.headers["ETag"])
        assert response.headers["Accept-Patch"] == FRAGMENT
        assert response.headers.getall("Link") == [
            '<stun:192.0.2.1:3478>; rel="ice-server"',
            '<turn:192.0.2.2>; rel="ice-server"; username="a\\"b"; credential="c\\\\d"; '
            'credential-type="password"',
        ]
        location = response.headers["Location"]
    assert (await ask("DELETE", pair.url + location))[0] == 200
    assert (await ask("DELETE", pair.url + location))[0] == 200  # it is what was asked for
    status, text, _ = await ask("DELETE", pair.url + location.replace("/whip", "/whep"))
    assert status == 404 and one_line(text)


@pytest.mark.parametrize("path", ["/whip", "/whip/", "/whep", "/whep/"])
async def test_an_endpoint_says_what_it_takes(web: Start, path: str) -> None:
    pair = await web()
    status, _, headers = await ask("OPTIONS", pair.url + path)
    assert (status, headers["Accept-Post"]) == (204, "application/sdp")
    assert "POST" in headers["Allow"]
    for method in ("GET", "PUT"):
        status, text, headers = await ask(method, pair.url + path)
        assert status == 405 and one_line(text) and "POST" in headers["Allow"]
    status, text, _ = await ask("POST", pair.url + path, data="v=0", headers=SDP)
    assert status == 400 and one_line(text)
    status, _, headers = await ask("OPTIONS", pair.url + path.rstrip("/") + "/abc")
    assert (status, headers["Accept-Patch"]) == (204, FRAGMENT)


async def test_candidates_may_come_later(web: Start) -> None:
    """The client is known by no address until it trickles; the server's own it is never told."""
    pair = await web()
    client = pair.client()
    offer = await offered(client)
    found = [line for line in offer.splitlines() if line.startswith("a=candidate:")]
    bare = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", offer)
    user = re.search(r"a=ice-ufrag:(\S+)", offer)
    assert user is not None and found
    async with (
        aiohttp.ClientSession() as session,
        session.post(pair.url + "/whip/", data=bare, headers=SDP) as response,
    ):
        assert response.status == 201
        url, tag = pair.url + response.headers["Location"], response.headers["ETag"]

    async def patch(body: str, kind: str = FRAGMENT, **headers: str) -> tuple[int, str]:
        status, text, _ = await ask(
            "PATCH", url, data=body,
            headers={"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )  # fmt: skip
        return status, text

    lines = [f"a=ice-ufrag:{user[1]}", "m=video 9 RTP/AVP 0", "a=mid:0", *found]
    fragment = "\r\n".join([*lines, "a=end-of-candidates", ""])
    for expected, answer in (
        (415, await patch(fragment, "text/plain", If_Match=tag)),
        (428, await patch(fragment)),
        (412, await patch(fragment, If_Match='"other"')),
        (422, await patch(fragment, If_Match="*")),
        (422, await patch(fragment.replace(user[1], "other"), If_Match=tag)),
        (400, await patch("a=candidate:1 1 udp\r\n", If_Match=tag)),
        (422, await patch("\r\n".join(found[:1] * 65), If_Match=tag)),
    ):
        assert answer[0] == expected and one_line(answer[1])
    (peer,) = pair.browser._peers
    transport = peer.connection.getTransceivers()[0].receiver.transport.transport
    assert transport.getRemoteCandidates() == []
    assert (await patch(fragment, If_Match=tag))[0] == 204
    assert {each.ip for each in transport.getRemoteCandidates()} == {
        line.split()[4] for line in found
    }


async def test_a_trickling_client_connects(web: Start) -> None:
    pair = await web()
    client = pair.client()
    offer = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", await offered(client))
    async with (
        aiohttp.ClientSession() as session,
        session.post(pair.url + "/whip", data=offer, headers=SDP) as response,
    ):
        answer, url = await response.text(), pair.url + response.headers["Location"]
        tag = response.headers["ETag"]
    found = client.connection.localDescription.sdp
    fragment = "\r\n".join(re.findall(r"a=candidate:.*(?=\r)", found)) + "\r\n"
    headers = {"Content-Type": FRAGMENT, "If-Match": tag}
    assert (await ask("PATCH", url, data=fragment, headers=headers))[0] == 204
    await client.take(answer)
    await until(lambda: len(pair.engine.emitted["browser.video"]) > 5, "pictures")
    assert (await ask("DELETE", url))[0] == 200
    await until(lambda: not pair.browser._peers, "its end")
