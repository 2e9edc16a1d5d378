"""aiortc's private parts that are taken over, each with its reason; missed in words.

A new aiortc may have them otherwise: `tests/unit/nodes/web/test_web_private.py` fails until one has
looked.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

TRIED: Final = "1.16"
"""the version that all of them were tried with, and that pyproject.toml therefore asks for"""


class Hook(NamedTuple):
    """A private name of a class of aiortc, and why it is taken."""

    module: str
    owner: str
    name: str
    why: str


HOOKS: Final = tuple(
    Hook(module, owner, name, why)
    for module, owner, name, why in (
        ("rtcrtpreceiver", "RTCRtpReceiver", "__decoder_queue",
         "frames are decoded and handed on in aiortc's thread, not into a queue without a bound"),
        ("rtcrtpreceiver", "RTCRtpReceiver", "__jitter_buffer",
         "a frame is whole with its last packet, not with the first one of the next"),
        ("rtcrtpreceiver", "RTCRtpReceiver", "__decoder_error",
         "asks the sender for a key frame; nothing public does"),
        ("rtcrtpreceiver", "RTCRtpReceiver", "_handle_rtcp_packet",
         "sender reports, which say when something was captured, aren't shown otherwise"),
        ("rtcrtpreceiver", "RTCRtpReceiver", "_data",
         "the media of a packet, as aiortc leaves it for its own jitter buffer"),
        ("rtcrtpsender", "RTCRtpSender", "_next_encoded_frame",
         "one encode for all viewers: a sender would encode a track for itself"),
        ("rtcrtpsender", "RTCRtpSender", "_send_keyframe",
         "viewers' wishes for a key frame go to the one encoder"),
        ("rtcrtpsender", "RTCRtpSender", "__encoder",
         "viewers' estimates of their bandwidth arrive where aiortc's encoder would be"),
        ("rtcrtpsender", "RTCRtpSender", "__rtp_header_extensions_map",
         "adds the playout limit to every packet; aiortc knows a fixed list of extensions"),
        ("rtcrtpsender", "RTCRtpSender", "__ntp_timestamp",
         "reports say when media was captured, not when it was sent"),
        ("rtcrtptransceiver", "RTCRtpTransceiver", "_codecs",
         "the codec that is agreed on; setCodecPreferences comes too late for an answer"),
        ("rtcrtptransceiver", "RTCRtpTransceiver", "_headerExtensions",
         "extensions are answered that aiortc doesn't know"),
        ("rtcrtptransceiver", "RTCRtpTransceiver", "_offerDirection",
         "what the offer wants of each section, before it is answered"),
        ("rtcdtlstransport", "RTCDtlsTransport", "_rtp_header_extensions_map",
         "reads the colour space off packets; aiortc knows a fixed list of extensions"),
        ("rtcdtlstransport", "RTCCertificate", "_create_ssl_context",
         "peers with an RSA certificate: aiortc offers cipher suites for ECDSA alone"),
        ("rtcpeerconnection", "RTCPeerConnection", "__certificates",
         "the certificates whose suites are widened"),
        ("rtcpeerconnection", "RTCPeerConnection", "__connect",
         "aiortc keeps no hold of the tasks in which it connects; they have to end with the peer"),
        ("rtcpeerconnection", "RTCPeerConnection", "__dtlsTransports",
         "parts that aiortc leaves open where closing fails at an earlier one"),
        ("rtcpeerconnection", "RTCPeerConnection", "__isClosed",
         "who waits for the end, where closing failed"),
        ("rtcicetransport", "RTCIceGatherer", "_connection",
         "sockets that a stop that was cut short, or a mere gathering, leaves open"),
        ("codecs.h264", "H264Encoder", "_split_bitstream", "the units of a frame encoded here"),
        ("codecs.h264", "H264Encoder", "_packetize", "they are put into packets by aiortc"),
        ("codecs.vpx", "Vp8Encoder", "_packetize", "the same for VP8"),
    )
)  # fmt: skip


def private(owner: Any, name: str) -> str:
    """The attribute behind ``owner``'s double-underscore ``name``."""
    for kind in type(owner).__mro__:
        mangled = f"_{kind.__name__}__{name}"
        if hasattr(owner, mangled):
            return mangled
    raise AttributeError(f"aiortc's {type(owner).__name__} has no '{name}': install aiortc {TRIED}")


def set_private(owner: Any, name: str, value: Any) -> None:
    setattr(owner, private(owner, name), value)


def get_private(owner: Any, name: str) -> Any:
    return getattr(owner, private(owner, name))
