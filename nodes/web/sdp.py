"""Offers and answers: what is refused before aiortc sees it, what an answer tells browsers."""

from __future__ import annotations

from collections.abc import Collection


class BadOfferError(Exception):
    """An SDP offer that can't be taken; ``str`` is one line for the one who sent it."""


def check_offer(text: str, *, directions: Collection[str], sends: str) -> list[str]:
    """The kinds of its media sections in order. Raises BadOfferError with what is wrong.

    ``directions`` are those that make sense here; ``sends`` says so in words.
    """
    from aiortc.sdp import SessionDescription

    if not text.startswith("v=0"):
        raise BadOfferError("the body isn't SDP: it must start with 'v=0'")
    try:
        description = SessionDescription.parse(text)
    except (ValueError, KeyError, IndexError, AttributeError, AssertionError, TypeError):
        raise BadOfferError("the SDP can't be read: a line in it is broken or cut short") from None
    media = [item for item in description.media if item.kind in ("audio", "video")]
    if not media:
        raise BadOfferError("the offer has no audio and no video in it")
    if len(media) > 4:
        raise BadOfferError("the offer has more than four media sections")
    if not any(item.direction in directions for item in media):
        raise BadOfferError(f"the offer goes the wrong way: {sends}")
    for item in media:
        if item.dtls is None or not item.dtls.fingerprints:
            raise BadOfferError("the offer has no DTLS fingerprint")
        if item.ice is None or not item.ice.usernameFragment or not item.ice.password:
            raise BadOfferError("the offer has no ICE user name or password")
    return [item.kind for item in media]


def without_mdns(text: str) -> str:
    """Drop candidates named x.local: resolving costs a second, the peer's own checks find us."""
    lines = text.splitlines()
    kept = [line for line in lines if not (line.startswith("a=candidate:") and ".local " in line)]
    return "\r\n".join(kept) + "\r\n"


def with_start_bitrate(answer: str, start_kbps: int, least_kbps: int, most_kbps: int) -> str:
    """Tell Chromium to send at ``start_kbps`` from the first second rather than ramp up to it."""
    hint = (
        f"x-google-start-bitrate={start_kbps};x-google-min-bitrate={least_kbps};"
        f"x-google-max-bitrate={most_kbps}"
    )
    lines = answer.splitlines()
    formats = {line.split(" ", 1)[0] for line in lines if line.startswith("a=fmtp:")}
    result = []
    for line in lines:
        head = line.split(" ", 1)[0]
        if head.startswith("a=rtpmap:") and line.endswith(("VP8/90000", "H264/90000")):
            result.append(line)
            wanted = head.replace("rtpmap", "fmtp")
            if wanted not in formats:
                result.append(f"{wanted} {hint}")
        elif head.startswith("a=fmtp:") and "packetization-mode" in line:
            result.append(f"{line};{hint}")
        else:
            result.append(line)
    return "\r\n".join(result) + "\r\n"


def with_short_packets(answer: str) -> str:
    """Ask for sound in packets of 10 ms: it is here 10 ms sooner than in those of 20."""
    lines = []
    for line in answer.splitlines():
        lines.append(line)
        if line.startswith("a=rtpmap:") and line.lower().endswith("opus/48000/2"):
            lines += ["a=ptime:10", "a=maxptime:20"]
    return "\r\n".join(lines) + "\r\n"


def parse_ice_servers(text: str) -> list[dict[str, str]]:
    """``stun:host:port, turn:host:port?user=U&password=P`` as a list of urls and credentials."""
    servers = []
    for item in text.replace(",", " ").split():
        url, _, query = item.partition("?")
        fields = dict(part.partition("=")[::2] for part in query.split("&") if part)
        server = {"urls": url}
        if "transport" in fields:
            server["urls"] += f"?transport={fields['transport']}"
        if "user" in fields:
            server["username"] = fields["user"]
            server["credential"] = fields.get("password", "")
        servers.append(server)
    return servers
