"""The least that a server between two WebRTC ends does: decode to BGR, encode again, relay sound.

The peer that `bench live --peers` compares the engine with. Run it alone with
`python -m commands.bench.echo PORT`; it speaks the engine's /session and /whep.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any


async def serve(port: int) -> None:
    """Serve on loopback until SIGINT or SIGTERM."""
    from aiohttp import web
    from aiortc import (
        RTCConfiguration,
        RTCPeerConnection,
        RTCSessionDescription,
        VideoStreamTrack,
    )
    from aiortc.contrib.media import MediaRelay
    from av import VideoFrame

    relay = MediaRelay()
    received: dict[str, Any] = {}
    connections: set[RTCPeerConnection] = set()
    nobody = RTCConfiguration(iceServers=[])  # without it aiortc asks a STUN server of Google's

    class Echo(VideoStreamTrack):
        """Pictures through an ndarray, one in, one out."""

        def __init__(self, source: Any) -> None:
            super().__init__()
            self.source = source

        async def recv(self) -> VideoFrame:
            frame = await self.source.recv()
            pixels_HWC = frame.to_ndarray(format="bgr24")
            echoed = VideoFrame.from_ndarray(pixels_HWC, format="bgr24")
            echoed.pts, echoed.time_base = frame.pts, frame.time_base
            return echoed

    async def answer(connection: RTCPeerConnection) -> web.Response:
        await connection.setLocalDescription(await connection.createAnswer())
        return web.Response(
            status=201, text=connection.localDescription.sdp, content_type="application/sdp"
        )

    async def session(request: web.Request) -> web.Response:
        connection = RTCPeerConnection(nobody)
        connections.add(connection)

        @connection.on("track")
        def on_track(track: Any) -> None:
            received[track.kind] = track

        await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        return await answer(connection)

    async def whep(request: web.Request) -> web.Response:
        if len(received) < 2:
            return web.Response(status=409, text="post to /session first")
        connection = RTCPeerConnection(nobody)
        connections.add(connection)
        connection.addTrack(relay.subscribe(received["audio"]))
        connection.addTrack(Echo(relay.subscribe(received["video"], buffered=False)))
        await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        return await answer(connection)

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_post("/session", session)
    app.router.add_post("/whep", whep)
    app.router.add_get("/healthz", alive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await asyncio.gather(*(connection.close() for connection in connections))
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
