"""Offers and answers: what is refused before aiortc sees it, what an answer tells browsers."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

VIEWER = (("recvonly", "sendrecv"), "a viewer must receive media")
PUBLISHER = (("sendonly", "sendrecv"), "a publisher must send media")
KNOWN_H264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
HELPERS = ("rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "cn")


class BadOfferError(Exception):
    """An SDP offer that can't be taken; ``str`` is one line for the one who sent it."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer as aiortc can take it, and what it said itself of formats that aiortc can't."""

    text: str
    h264: dict[int, dict[str, Any]]
    """the parameters as offered of H.264 that aiortc knows by others only, by payload type"""


def read_offer(text: str, *, viewer: bool) -> Offer:
    """What a viewer or a publisher offers. Raises BadOfferError with what is wrong."""
    try:
        return _read(text, viewer)
    except BadOfferError:
        raise
    except Exception:  # what aiortc's parser raises at a broken line has no common base
        raise BadOfferError("the SDP can't be read: a line in it is broken or cut short") from None


def _read(text: str, viewer: bool) -> Offer:
    from aiortc.sdp import SessionDescription

    if not text.startswith("v=0"):
        raise BadOfferError("the body isn't SDP: it must start with 'v=0'")
    text = without_names(text)
    sections = SessionDescription.parse(text).media
    media = [item for item in sections if item.kind in ("audio", "video")]
    if not media:
        raise BadOfferError("the offer has no audio and no video in it")
    if len(media) < len(sections):
        raise BadOfferError("the offer has a data channel; only picture and sound are taken here")
    if len(media) > 4:
        raise BadOfferError("the offer has more than four media sections")
    wanted, rule = VIEWER if viewer else PUBLISHER
    if not any(item.direction in wanted for item in media):
        raise BadOfferError(f"the offer goes the wrong way: {rule}")
    for item in media:
        if item.dtls is None or not item.dtls.fingerprints:
            raise BadOfferError("the offer has no DTLS fingerprint")
        if item.ice is None or not item.ice.usernameFragment or not item.ice.password:
            raise BadOfferError("the offer has no ICE user name or password")
        _check_ports(item.ice_candidates)
    h264 = _unknown_h264(media, viewer)
    if h264:
        text = _as_known_h264(text, h264)
    for item in SessionDescription.parse(text).media:
        _check_codecs(item, viewer)
    return Offer(text, h264)


def read_candidates(text: str) -> tuple[str, list[Any]]:
    """The user name and the candidates of an SDP fragment (RFC 8840, 9), those with numeric
    addresses. Raises BadOfferError."""
    from aiortc.sdp import candidate_from_sdp

    user, candidates = "", []
    for line in without_names(text).splitlines():
        name, _, value = line.partition(":")
        if name == "a=ice-ufrag":
            user = value.strip()
        elif name == "a=candidate":
            try:
                candidates.append(candidate_from_sdp(value))
            except (ValueError, IndexError, AssertionError):
                raise BadOfferError("a candidate can't be read: its line is broken") from None
    _check_ports(candidates)
    return user, candidates


def _check_ports(candidates: Sequence[Any]) -> None:
    if not all(0 <= candidate.port < 1 << 16 for candidate in candidates):
        raise BadOfferError("a candidate's port is none: it goes up to 65535")


def without_names(text: str) -> str:
    """Leave out what has a host name for an address: browsers hide theirs behind x.local.

    Resolving costs a second; the peer's own checks find us. So long as those may come, the
    candidates aren't at their end either.
    """
    lines = text.splitlines()
    kept = [line for line in lines if not (line.startswith("a=candidate:") and _named(line, 4))]
    unnamed = len(kept) < len(lines) or not any(line.startswith("a=candidate:") for line in kept)
    result = []
    for line in kept:
        if line.startswith("c=") and _named(line, 2):
            line = "c=IN IP4 0.0.0.0"
        if (line.startswith("a=rtcp:") and _named(line, 3)) or (
            unnamed and line == "a=end-of-candidates"
        ):
            continue
        result.append(line)
    return "\r\n".join(result) + "\r\n"


def _named(line: str, at: int) -> bool:
    """Whether the word ``at`` is there and no numeric address."""
    words = line.split()
    if len(words) <= at:
        return False
    try:
        ipaddress.ip_address(words[at])
    except ValueError:
        return True
    return False


def _unknown_h264(media: Sequence[Any], viewer: bool) -> dict[int, dict[str, Any]]:
    """H.264 that aiortc would pass over, where a section has no other: any profile can be decoded,
    and what is sent is constrained baseline, which decoders of every profile take (H.264, A.2).

    A viewer that names packetization-mode 0 couldn't put big pictures together (RFC 6184, 6.2).
    """
    found = {}
    for item in media:
        if item.kind != "video" or any(codec.name == "H264" for codec in _common(item)):
            continue
        for codec in item.rtp.codecs:
            mode = str(codec.parameters.get("packetization-mode", ""))
            if codec.name.upper() == "H264" and not (viewer and mode == "0"):
                found[codec.payloadType] = codec.parameters
    return found


def _as_known_h264(text: str, formats: Collection[int]) -> str:
    """The offer with parameters that aiortc knows for these payload types."""
    result = []
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number = int(rest.split()[0]) if name in ("a=fmtp", "a=rtpmap") else -1
        if number in formats and name == "a=fmtp":
            continue
        result.append(line)
        if number in formats:
            result.append(f"a=fmtp:{number} {KNOWN_H264}")
    return "\r\n".join(result) + "\r\n"


def _common(item: Any) -> list[Any]:
    from aiortc.codecs import CODECS
    from aiortc.rtcpeerconnection import find_common_codecs

    return find_common_codecs(CODECS[item.kind], item.rtp.codecs)


def _check_codecs(item: Any, viewer: bool) -> None:
    if item.kind == "video":
        usable = needed = ["H264", "VP8"]
    elif item.kind == "audio":
        needed = ["Opus"]
        usable = ["opus"] if viewer else ["opus", "G722", "PCMU", "PCMA"]
    else:
        return
    if any(codec.name in usable for codec in _common(item)):
        return
    names = {codec.name: None for codec in item.rtp.codecs if codec.name.lower() not in HELPERS}
    if "H264" in names:
        needed = ["H264 with packetization-mode=1", "VP8"]
    raise BadOfferError(
        f"the offer's {item.kind} has no codec that works here: it has "
        f"{_plain(', '.join(names)) or 'none'}, and {' or '.join(needed)} is needed"
    )


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:80]


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


def with_limits(answer: str, longest_px: int, most_kbps: int) -> str:
    """Ask for pictures of 16:9 and ``longest_px`` at most, and for no more than ``most_kbps``.

    VP8 has a parameter for the size (RFC 7741, 6.1), the bandwidth has a line (RFC 8866, 5.8).
    """
    side = -(-longest_px // 16)
    blocks = f"max-fs={side * -(-side * 9 // 16)};max-fr=30"
    vp8 = {line[9:].split()[0] for line in answer.splitlines() if line.endswith(" VP8/90000")}
    lines = []
    video = False
    for line in answer.splitlines():
        if line.startswith("m="):
            video = line.startswith("m=video")
        if line.startswith("a=fmtp:") and line[7:].split()[0] in vp8:
            line = f"{line};{blocks}"
        lines.append(line)
        if video and line.startswith("c="):
            lines.append(f"b=AS:{most_kbps}")
    return "\r\n".join(lines) + "\r\n"


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
