"""Offers and answers as text."""

from __future__ import annotations

import pytest

from nodes.web.sdp import (
    BadOfferError,
    check_offer,
    parse_ice_servers,
    with_short_packets,
    with_start_bitrate,
    without_mdns,
)

OFFER = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96 98\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"
    "a=fingerprint:sha-256 " + ":".join(["AA"] * 32) + "\r\na=setup:actpass\r\na=rtcp-mux\r\n"
    "a=candidate:1 1 udp 2113937151 3b3f2a0e.local 50000 typ host\r\n"
    "a=candidate:2 1 udp 2113937151 192.0.2.1 50001 typ host\r\n"
    "a=rtpmap:96 VP8/90000\r\na=rtpmap:98 H264/90000\r\n"
    "a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1\r\n"
)  # fmt: skip


def test_a_good_offer_names_its_media() -> None:
    assert check_offer(OFFER, directions=("sendonly",), sends="") == ["video"]


def test_the_wrong_way_is_said() -> None:
    with pytest.raises(BadOfferError, match="a viewer must receive"):
        check_offer(OFFER, directions=("recvonly",), sends="a viewer must receive media")


@pytest.mark.parametrize("cut", ["a=ice-ufrag:abcd\r\n", "a=ice-pwd:abcdefghijklmnopqrstuvwx\r\n"])
def test_missing_credentials_are_said(cut: str) -> None:
    with pytest.raises(BadOfferError, match="ICE"):
        check_offer(OFFER.replace(cut, ""), directions=("sendonly",), sends="")


def test_every_prefix_of_an_offer_is_taken_or_refused_cleanly() -> None:
    for length in range(0, len(OFFER), 3):
        try:
            check_offer(OFFER[:length], directions=("sendonly",), sends="send")
        except BadOfferError as error:
            assert "\n" not in str(error)


def test_mdns_candidates_are_dropped() -> None:
    kept = without_mdns(OFFER)
    assert ".local" not in kept
    assert "192.0.2.1" in kept
    assert kept.replace("\r\n", "").count("a=candidate") == 1


def test_the_start_bitrate_reaches_every_codec() -> None:
    answer = with_start_bitrate(OFFER, 1500, 500, 2500)
    assert "a=fmtp:96 x-google-start-bitrate=1500;x-google-min-bitrate=500" in answer
    assert "packetization-mode=1;x-google-start-bitrate=1500" in answer
    assert answer.count("a=fmtp:") == 2


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
