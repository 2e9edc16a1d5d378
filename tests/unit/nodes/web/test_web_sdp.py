"""Offers and answers as text."""

from __future__ import annotations

import pytest

from nodes.web.sdp import (
    BadOfferError,
    parse_ice_servers,
    read_candidates,
    read_offer,
    with_limits,
    with_short_packets,
    with_start_bitrate,
    without_names,
)

MDNS = "a=candidate:1 1 udp 2113937151 3b3f2a0e.local 50000 typ host\r\n"
OFFER = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96 98\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"
    "a=fingerprint:sha-256 " + ":".join(["AA"] * 32) + "\r\na=setup:actpass\r\na=rtcp-mux\r\n"
    f"{MDNS}"
    "a=candidate:2 1 udp 2113937151 192.0.2.1 50001 typ host\r\n"
    "a=rtpmap:96 VP8/90000\r\na=rtpmap:98 H264/90000\r\n"
    "a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1\r\n"
)  # fmt: skip


def test_a_good_offer_passes_as_it_is() -> None:
    plain = OFFER.replace(MDNS, "")
    offer = read_offer(plain, viewer=False)
    assert (offer.text, offer.h264) == (plain, {})


def test_the_wrong_way_is_said() -> None:
    with pytest.raises(BadOfferError, match="a viewer must receive"):
        read_offer(OFFER, viewer=True)


@pytest.mark.parametrize("cut", ["a=ice-ufrag:abcd\r\n", "a=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"])
def test_missing_credentials_are_said(cut: str) -> None:
    with pytest.raises(BadOfferError, match="ICE"):
        read_offer(OFFER.replace(cut, ""), viewer=False)


def test_every_prefix_of_an_offer_is_taken_or_refused_cleanly() -> None:
    for length in range(0, len(OFFER), 3):
        try:
            read_offer(OFFER[:length], viewer=False)
        except BadOfferError as error:
            assert "\n" not in str(error)


def test_a_format_that_is_nowhere_is_refused_cleanly() -> None:
    with pytest.raises(BadOfferError, match="can't be read"):
        read_offer(OFFER + "a=fmtp:55 x=1\r\n", viewer=False)


def test_named_candidates_are_dropped_and_theirs_awaited() -> None:
    kept = without_names(OFFER + "a=end-of-candidates\r\n")
    assert ".local" not in kept
    assert "192.0.2.1" in kept
    assert kept.replace("\r\n", "").count("a=candidate") == 1
    assert "end-of-candidates" not in kept


def test_numeric_candidates_may_be_at_their_end() -> None:
    numeric = OFFER.replace(MDNS, "").replace("192.0.2.1", "2001:db8::1")
    assert "end-of-candidates" in without_names(numeric + "a=end-of-candidates\r\n")
    none = numeric.replace("a=candidate:2 1 udp 2113937151 2001:db8::1 50001 typ host\r\n", "")
    assert "end-of-candidates" not in without_names(none + "a=end-of-candidates\r\n")


def test_named_hosts_elsewhere_are_dropped() -> None:
    """Firefox names the host of its default candidate in a=rtcp, others do in c=."""
    named = OFFER + "a=rtcp:51250 IN IP4 3b3f2a0e.local\r\n"
    named = named.replace("c=IN IP4 0.0.0.0", "c=IN IP4 3b3f2a0e.local")
    kept = without_names(named)
    assert ".local" not in kept and "a=rtcp:" not in kept
    assert "c=IN IP4 0.0.0.0" in kept
    assert "a=rtcp:9 IN IP6 ::" in without_names(OFFER + "a=rtcp:9 IN IP6 ::\r\n")


H264 = OFFER.replace("a=rtpmap:96 VP8/90000\r\n", "").replace("AVPF 96 98", "AVPF 98")
FMTP = "a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1\r\n"


@pytest.mark.parametrize(
    ("fmtp", "parameters"),
    [
        ("", {}),
        ("profile-level-id=640028;packetization-mode=1", None),
        ("profile-level-id=4d0032;packetization-mode=0", None),
        ("profile-level-id=f4001f", None),
    ],
)
def test_every_h264_of_a_publisher_is_taken(fmtp: str, parameters: dict[str, str] | None) -> None:
    line = f"a=fmtp:98 {fmtp}\r\n" if fmtp else ""
    offer = read_offer(H264.replace(FMTP, line), viewer=False)
    if parameters is None:
        parameters = dict(part.split("=") for part in fmtp.split(";"))
    assert offer.h264 == {98: parameters}
    assert offer.text.count("a=fmtp:98") == 1 and "profile-level-id=42e01f" in offer.text


def test_h264_that_aiortc_knows_comes_first() -> None:
    other = "a=rtpmap:99 h264/90000\r\na=fmtp:99 packetization-mode=1;profile-level-id=640028\r\n"
    offer = read_offer(H264.replace("AVPF 98", "AVPF 99 98") + other, viewer=False)
    assert offer.h264 == {} and "profile-level-id=640028" in offer.text


def test_big_pictures_cannot_go_in_single_units() -> None:
    offer = H264.replace("sendonly", "recvonly")
    single = offer.replace("packetization-mode=1", "packetization-mode=0")
    with pytest.raises(BadOfferError, match=r"has H264, and H264 with packetization-mode=1 or VP8"):
        read_offer(single, viewer=True)
    assert read_offer(offer.replace(FMTP, ""), viewer=True).h264 == {98: {}}


@pytest.mark.parametrize("codec", ["AV1", "H265", "VP9"])
def test_codecs_that_do_not_work_are_named(codec: str) -> None:
    offer = H264.replace("H264/90000", f"{codec}/90000\r\na=rtpmap:97 rtx/90000")
    with pytest.raises(BadOfferError, match=rf"it has {codec}, and H264 or VP8 is needed"):
        read_offer(offer, viewer=False)


def test_viewers_hear_opus_alone() -> None:
    offer = H264.replace("m=video", "m=audio").replace("H264/90000", "PCMU/8000")
    read_offer(offer, viewer=False)
    with pytest.raises(BadOfferError, match="it has PCMU, and Opus is needed"):
        read_offer(offer.replace("sendonly", "recvonly"), viewer=True)


def test_the_start_bitrate_reaches_every_codec() -> None:
    answer = with_start_bitrate(OFFER, 1500, 500, 2500)
    assert "a=fmtp:96 x-google-start-bitrate=1500;x-google-min-bitrate=500" in answer
    assert "packetization-mode=1;x-google-start-bitrate=1500" in answer
    assert answer.count("a=fmtp:") == 2


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(BadOfferError, match="port"):
        read_offer(OFFER.replace(" 50001 ", " 5000001 "), viewer=False)
    with pytest.raises(BadOfferError, match="port"):
        read_candidates("a=candidate:2 1 udp 2113937151 192.0.2.1 65536 typ host")


def test_a_size_and_a_bandwidth_are_asked_for() -> None:
    answer = (
        "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n"
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n"
        "a=rtpmap:96 VP8/90000\r\na=fmtp:96 x-google-start-bitrate=1500\r\n"
    )
    lines = with_limits(answer, 1920, 2500).splitlines()
    assert lines.count("b=AS:2500") == 1
    assert lines.index("b=AS:2500") > lines.index("m=video 9 UDP/TLS/RTP/SAVPF 96")
    assert lines[-1] == "a=fmtp:96 x-google-start-bitrate=1500;max-fs=8160;max-fr=30"


def test_sound_is_asked_for_in_short_packets() -> None:
    answer = with_short_packets(OFFER + "a=rtpmap:111 opus/48000/2\r\n")
    assert answer.endswith("a=rtpmap:111 opus/48000/2\r\na=ptime:10\r\na=maxptime:20\r\n")
    assert "ptime" not in with_short_packets(OFFER)


def test_ice_servers() -> None:
    assert parse_ice_servers("") == []
    assert parse_ice_servers("stun:a:1, turn:b:2?user=u&password=p&transport=tcp") == [
        {"urls": "stun:a:1"},
        {"urls": "turn:b:2?transport=tcp", "username": "u", "credential": "p"},
    ]
