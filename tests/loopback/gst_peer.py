"""GStreamer's webrtcbin as a WHIP publisher or WHEP viewer, for the system's Python, which has gi.

    gst_peer.py whip|whep URL CODEC    CODEC: vp8, h264, h264-bare (no fmtp in the offer)

Prints a line of JSON for what happens: {"answered": status, ...}, {"state": ...},
{"pictures": n, "size": [w, h]}, {"sounds": n, "level_db": x}. Ends with its standard input.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import urllib.request
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402  # once their versions are said

ENCODERS = {
    "vp8": "vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay pt=96",
    "h264": "x264enc tune=zerolatency speed-preset=veryfast key-int-max=30 "
    "! video/x-h264,profile=high ! rtph264pay pt=96 config-interval=-1",
}
DECODERS = {
    "vp8": "rtpvp8depay ! vp8dec",
    "h264": "rtph264depay ! avdec_h264",
    "opus": "rtpopusdepay ! opusdec ! audioconvert ! level interval=200000000",
}


def tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")  # at once: GStreamer has many threads
    sys.stdout.flush()


class GstPeer:
    """One webrtcbin: offers, posts the offer once gathered, takes the answer."""

    def __init__(self, kind: str, url: str, codec: str) -> None:
        self.url, self.bare = url, codec.endswith("-bare")
        self.codec = codec = codec.removesuffix("-bare")
        self.pictures = self.sounds = 0
        caps = f"application/x-rtp,media=video,encoding-name={codec.upper()},payload=96"
        sound = "application/x-rtp,media=audio,encoding-name=OPUS,payload=97"
        source = "webrtcbin name=peer bundle-policy=max-bundle"
        if kind == "whip":
            source += (
                " videotestsrc is-live=true pattern=blue "
                "! video/x-raw,width=320,height=240,framerate=30/1 "
                f"! {ENCODERS[codec]} ! {caps} ! peer. "
                "audiotestsrc is-live=true freq=440 ! opusenc ! rtpopuspay pt=97 "
                f"! {sound} ! peer."
            )
        self.pipeline = Gst.Pipeline()
        self.pipeline.add(Gst.parse_bin_from_description(source, False))
        self.peer = self.pipeline.get_by_name("peer")
        self.ice = self.peer.get_property("ice-agent")  # kept: webrtcbin would lose it
        self.agent = self.ice.get_property("agent")
        self.agent.set_property("upnp", False)  # looking for a router takes four seconds
        if kind == "whep":
            way = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            for each in (
                f"{caps},clock-rate=90000",
                f"{sound},clock-rate=48000,encoding-params=(string)2",
            ):
                self.peer.emit("add-transceiver", way, Gst.Caps.from_string(each))
        else:
            way = GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY
            for index in range(2):
                self.peer.emit("get-transceiver", index).set_property("direction", way)
        self.peer.connect("on-negotiation-needed", self._offer)
        self.peer.connect("notify::ice-gathering-state", self._gathered)
        self.peer.connect("notify::connection-state", self._state)
        self.peer.connect("pad-added", self._incoming)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message", self._message)
        self.pipeline.set_state(Gst.State.PLAYING)

    def _offer(self, peer: Any) -> None:
        def made(promise: Any) -> None:
            reply = promise.get_reply()  # the offer is its own: it must outlive the next line
            peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(made))

    def _gathered(self, peer: Any, _: Any) -> None:
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            threading.Thread(target=self._post, daemon=True).start()

    def _post(self) -> None:
        offer = self.peer.get_property("local-description").sdp.as_text()
        if self.bare:
            offer = re.sub(r"a=fmtp:96 .*\r\n", "", offer)
        request = urllib.request.Request(
            self.url, offer.encode(), {"Content-Type": "application/sdp"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer = response.read().decode()
                tell(
                    answered=response.status,
                    location=response.headers["Location"],
                    offer=offer,
                    answer=answer,
                )
        except urllib.error.HTTPError as error:
            return tell(answered=error.code, words=error.read().decode(), offer=offer)
        _, sdp = GstSdp.SDPMessage.new_from_text(answer)
        described = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.peer.emit("set-remote-description", described, Gst.Promise.new())

    def _state(self, peer: Any, _: Any) -> None:
        tell(state=peer.get_property("connection-state").value_nick)

    def _incoming(self, _: Any, pad: Any) -> None:
        if pad.direction != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        decoder = DECODERS[self.codec if kind == "video" else "opus"]
        part = Gst.parse_bin_from_description(
            f"{decoder} ! fakesink name=end signal-handoffs=true sync=false", True
        )
        part.get_by_name("end").connect(
            "handoff", self._picture if kind == "video" else self._sound
        )
        self.peer.get_parent().add(part)
        part.sync_state_with_parent()
        pad.link(part.get_static_pad("sink"))

    def _picture(self, end: Any, _: Any, pad: Any) -> None:
        self.pictures += 1
        if self.pictures % 10 == 0:
            caps = pad.get_current_caps().get_structure(0)
            tell(pictures=self.pictures, size=[caps.get_value("width"), caps.get_value("height")])

    def _sound(self, end: Any, _: Any, pad: Any) -> None:
        self.sounds += 1

    def _message(self, _: Any, message: Any) -> None:
        if message.type == Gst.MessageType.ERROR:
            tell(error=" ".join(map(str, message.parse_error())))
        elif (
            message.type == Gst.MessageType.ELEMENT
            and message.get_structure().get_name() == "level"
        ):
            level = message.get_structure().get_value("rms")[0]
            tell(sounds=self.sounds, level_db=round(level, 1))


def main() -> None:
    Gst.init(None)
    loop = GLib.MainLoop()
    peer = GstPeer(*sys.argv[1:4])
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    loop.run()
    peer.pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()
