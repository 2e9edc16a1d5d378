"""What WHIP (RFC 9725) and WHEP say over HTTP besides the offer and the answer.

An endpoint takes POST, a session PATCH (trickle ICE, RFC 8840) and DELETE; ICE isn't restarted.
"""

from __future__ import annotations

from aiohttp import web

from nodes.web.peer import Peer
from nodes.web.sdp import BadOfferError, read_candidates
from nodes.web.security import read_body, refuse

FRAGMENT = "application/trickle-ice-sdpfrag"
ENDPOINT = {"Allow": "POST, OPTIONS", "Accept-Post": "application/sdp"}
SESSION = {"Allow": "PATCH, DELETE, OPTIONS", "Accept-Patch": FRAGMENT}
CANDIDATES_MOST = 64  # of a session: each is asked over the network


def created(location: str, peer: Peer, answer: str, servers: list[dict[str, str]]) -> web.Response:
    """201 with the answer, where the session is, and the STUN and TURN servers that may help."""
    response = web.Response(
        status=201,
        text=answer,
        content_type="application/sdp",
        headers={"Location": location, "ETag": etag(peer), "Accept-Patch": FRAGMENT},
    )
    for server in servers:
        link = f'<{server["urls"]}>; rel="ice-server"'
        if "username" in server:
            link += (
                f"; username={_quoted(server['username'])}"
                f'; credential={_quoted(server["credential"])}; credential-type="password"'
            )
        response.headers.add("Link", link)
    return response


async def trickle(request: web.Request, peer: Peer) -> web.Response:
    """PATCH: candidates that were found after the offer was sent."""
    if request.content_type != FRAGMENT:
        return refuse(415, f"send candidates as Content-Type: {FRAGMENT}", SESSION)
    match = request.headers.get("If-Match")
    if match is None:
        return refuse(428, "send the ETag of the session as If-Match")
    if match != "*" and match != etag(peer):
        return refuse(412, "If-Match isn't the ETag of this session")
    try:
        user, candidates = read_candidates((await read_body(request)).decode(errors="replace"))
    except BadOfferError as error:
        return refuse(400, str(error))
    if match == "*" or (user and user != peer.remote_user):
        return refuse(422, "ICE can't be restarted here: DELETE the session and POST a new offer")
    if peer.candidates + len(candidates) > CANDIDATES_MOST:
        return refuse(422, f"a session takes {CANDIDATES_MOST} more candidates at most")
    await peer.add_candidates(candidates)
    return web.Response(status=204, headers={"ETag": etag(peer)})


def etag(peer: Peer) -> str:
    """Of the one ICE session that a peer has."""
    return f'"{peer.id}"'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
