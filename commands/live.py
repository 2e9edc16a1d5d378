"""A camera and a microphone in, the same person with another expression out.

Without options the camera and the microphone are the browser's: open the page that is printed
and press Start. With --camera they are this machine's, or the network's, and the page only shows
the result.

Examples:
  run_engine.py                                  the page, the browser's camera and microphone
  run_engine.py --emotion happy --intensity 0.7  start with an emotion
  run_engine.py --person anna                    her own faces from the start (see enrol)
  run_engine.py --set editor.mode=voice          let the voice drive the face
  run_engine.py live --camera 0 --mic default --virtual-camera
  run_engine.py live --no-settings               with the defaults, whatever was set before
  run_engine.py live --portrait face.jpg         a picture that says what your microphone hears
  run_engine.py live --person anna --camera none
                                                 yourself with the camera off, moved by your voice
  run_engine.py live --vmc                       the face moves an avatar, too (VSeeFace, Warudo)
  run_engine.py live --publish rtmp://a.rtmp.youtube.com/live2 --publish-key youtube.key
  run_engine.py live --avatar head               a 3D head in the picture's place, on the page
  run_engine.py live --avatar head --camera none   the same, moved by your voice alone
  run_engine.py live --camera rtsp://192.168.1.20/stream
  run_engine.py live --address 0.0.0.0 --cert cert.pem --key key.pem
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text

from commands.consent import ask_consent
from commands.graph import add_settings
from commands.numbers import PORT, SECONDS
from commands.paths import GRAPHS
from commands.running import console, run_supervised
from commands.talking import add_portrait_arguments, add_voice, portrait_graph, without_camera
from commands.weights import add_weights, use_weights
from engine.errors import MienError, UsageError
from engine.files import unusual
from engine.graph import load, read
from engine.roles import Roles
from engine.settings import Settings, default_path
from engine.supervisor import Supervisor
from face.types import EMOTIONS
from media.probing import audio_stream, open_media
from nodes.sinks import publish
from nodes.sources.network_camera import check_address, is_address
from nodes.web.avatar_file import avatar_file
from nodes.web.options import Options

URL_WITHIN_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    devices = parser.add_argument_group("devices")
    devices.add_argument(
        "--camera",
        metavar="N|URL|FILE",
        help="a camera of this machine (its number or path, see devices), a network camera "
        "(rtsp://..., http://...), a video that is played in a loop, or none: then only your voice "
        "moves the picture of --person, or an avatar",
    )
    devices.add_argument(
        "--mic",
        metavar="NAME",
        help="a microphone of this machine: default, a number or a name; with --portrait also a "
        "file with sound, which is played in a loop",
    )
    devices.add_argument(
        "--virtual-camera",
        action="store_true",
        help="show the result as a camera to other programs",
    )
    devices.add_argument(
        "--vmc",
        metavar="HOST:PORT",
        nargs="?",
        const="127.0.0.1:39539",
        help="send the face's pose and expression to a VTuber tool, by VMC (default "
        "127.0.0.1:39539)",
    )
    devices.add_argument(
        "--publish", metavar="URL",
        help="broadcast to a server: rtmp://HOST/APP, rtmps://... or, for WHIP, https://...; give "
        "the stream key in MIEN_PUBLISH_KEY or --publish-key, never in the address",
    )  # fmt: skip
    devices.add_argument("--publish-key", metavar="FILE", help="a file with the stream key")
    devices.add_argument(
        "--vtube-studio",
        metavar="HOST:PORT",
        nargs="?",
        const="127.0.0.1:8001",
        help="move the model in VTube Studio by its plugin API (default 127.0.0.1:8001)",
    )
    page = parser.add_argument_group("page")
    page.add_argument(
        "--avatar", metavar="head|FILE.vrm",
        help="show a 3D avatar instead of the picture: a head that comes with Mien, or your own",
    )  # fmt: skip
    add_page_arguments(page)
    face = parser.add_argument_group("face")
    add_face_arguments(face)
    add_portrait_arguments(face, several=True)
    add_weights(parser)
    add_settings(parser)
    kept = parser.add_mutually_exclusive_group()
    kept.add_argument(
        "--settings", metavar="FILE", dest="kept", help="save settings and presets in this file"
    )
    kept.add_argument(
        "--no-settings", action="store_true", help="start with the defaults and save nothing"
    )
    parser.add_argument("--seconds", type=SECONDS, default=0, help="end after so many seconds")


def add_page_arguments(page: Any) -> None:
    """Where the page is served and who may open it, for every command that serves one."""
    page.add_argument(
        "--port", type=PORT, default=8080, help="port of the page (default 8080; 0: a free one)"
    )
    page.add_argument("--address", default="127.0.0.1", help="address to bind (default 127.0.0.1)")
    page.add_argument(
        "--token", default=os.environ.get("MIEN_TOKEN", ""),
        help="the token for the page when others can open it, 12 characters or more; MIEN_TOKEN "
        "hides it from process lists",
    )  # fmt: skip
    page.add_argument("--cert", default="", help="TLS certificate (PEM)")
    page.add_argument("--key", default="", help="TLS key (PEM)")
    page.add_argument(
        "--ice", default="", metavar="URLS", help="STUN and TURN servers, separated by commas"
    )
    page.add_argument(
        "--public-url", default="", metavar="URL",
        help="the page's address behind a proxy: https://HOST",
    )  # fmt: skip
    page.add_argument(
        "--trust-proxy", default="", metavar="ADDRESSES",
        help="proxies whose X-Forwarded-... headers are trusted, separated by commas",
    )  # fmt: skip


def page_options(options: argparse.Namespace) -> Options:
    """The same as the server takes it; where others can reach it there is a token."""
    return Options(
        host=options.address,
        port=options.port,
        token=options.token or _token_for(options.address, options.public_url),
        cert=options.cert,
        key=options.key,
        ice_servers=options.ice,
        public_url=options.public_url,
        trusted_proxies=options.trust_proxy,
    )


def add_face_arguments(parser: Any) -> None:
    """--emotion, --reference, --intensity, --person and --badge, for every command that edits a
    face."""
    parser.add_argument("--emotion", choices=EMOTIONS, help="the emotion to wear (default neutral)")
    parser.add_argument(
        "--reference", metavar="FILE", action="append",
        help="a picture or a clip of a face with the expression to wear; several, also as "
        "FILE:SHARE, are blended",
    )  # fmt: skip
    parser.add_argument(
        "--intensity", type=float,
        help="how strong the expression is: 0 to 1, with --reference 0 to 1.5",
    )  # fmt: skip
    parser.add_argument(
        "--person", metavar="NAME", help="an enrolled person, whose own faces are used (see enrol)"
    )
    parser.add_argument(
        "--badge", action="store_true", help="mark the picture as generated, in a corner"
    )


def face_settings(options: argparse.Namespace, roles: Roles) -> list[str]:
    """What `add_face_arguments` takes, as settings of nodes. Raises MienError where the person
    isn't enrolled, or can't be read, or a file isn't there."""
    settings = []
    if options.emotion is not None:
        editor = roles["editor"]
        settings += [f"{editor}.mode=emotion", f"{editor}.emotion={options.emotion}"]
    if options.reference is not None:
        if options.emotion is not None:
            raise UsageError("--reference says what is worn; leave --emotion out")
        from face.reference_file import absolute

        paths = "\n".join(absolute(text) for text in options.reference)
        settings += [f"{roles['reference']}.path={paths}", f"{roles['editor']}.mode=reference"]
    if options.intensity is not None:
        strength = "intensity" if options.reference is None else "reference_gain"
        settings.append(f"{roles['editor']}.{strength}={options.intensity}")
    if options.person is not None:
        from face.render import person_file

        person_file.load(person_file.place_of(options.person))
        settings.append(f"{roles['compositor']}.person={options.person}")
    if options.badge:
        settings.append(f"{roles['compositor']}.badge=true")
    return settings


def live_graph(options: argparse.Namespace) -> dict[str, Any]:
    """The live graph with this machine's devices where they are asked for. Raises UsageError."""
    if without_camera(options):
        raw = portrait_graph(options)
        roles = Roles(raw)
        video = raw["nodes"][roles["out"]]["inputs"]["video"]
        return _with_outputs(raw, options, video, f"{roles['editor']}.rig")
    raw = read(GRAPHS / "live.toml")
    nodes, processes, roles = raw["nodes"], raw["processes"], Roles(raw)
    hears = [nodes[roles[role]]["inputs"] for role in ("voice_reader", "out")]
    if options.mic is not None and options.camera is None:
        raise UsageError("--mic needs --camera: the page brings its own microphone")
    if options.camera is not None:
        browser = raw["roles"].pop("browser")
        del nodes[browser]
        raw["governor"]["source"] = "camera.video"
        for level in raw["governor"]["levels"]:
            level["set"].pop(browser, None)  # no camera but the page's is asked for a size
        raw["governor"]["levels"] = [level for level in raw["governor"]["levels"] if level["set"]]
        nodes["camera"], sounds = _camera(options.camera, muted=options.mic is not None)
        for role in ("tracker", "face_reader", "compositor"):
            nodes[roles[role]]["inputs"]["frame"] = "camera.video"
        nodes[roles["out"]]["inputs"]["raw"] = "camera.video"
        processes["net"]["nodes"].remove(browser)
        processes["face"]["nodes"].insert(0, "camera")
        if options.mic is not None:
            nodes["microphone"] = {
                "type": "nodes.sources.microphone:Microphone",
                "parameters": {"device": options.mic},
            }
            for inputs in hears:
                inputs["audio"] = "microphone.audio"
            processes["net"]["nodes"].append("microphone")
        elif sounds:
            for inputs in hears:
                inputs["audio"] = "camera.audio"
        else:
            del nodes[roles["out"]]["inputs"]["audio"]
            del nodes[roles["feeling"]]["inputs"]["voice"]
            reader = raw["roles"].pop("voice_reader")
            del nodes[reader]
            processes["feelings"]["nodes"].remove(reader)
    return _with_outputs(raw, options, *add_voice(raw, options))


def _with_outputs(
    raw: dict[str, Any], options: argparse.Namespace, video: str, rig: str
) -> dict[str, Any]:
    """The graph with a virtual camera and a VTuber tool where they are asked for, and the page's
    address. Raises UsageError."""
    nodes, processes, roles = raw["nodes"], raw["processes"], Roles(raw)
    if options.virtual_camera:
        nodes["virtual_camera"] = {
            "type": "nodes.sinks.virtual_camera:VirtualCamera",
            "inputs": {"video": video},
        }
        processes["face"]["nodes"].append("virtual_camera")
    if options.vmc is not None:
        host, port = _receiver("--vmc", options.vmc, 39539)
        nodes["vmc"] = {
            "type": "nodes.sinks.vmc:Vmc",
            "inputs": {"rig": rig},
            "parameters": {"host": host, "port": port},
        }
        processes["vmc"] = {"nodes": ["vmc"]}  # its ticks wait for nobody
    if options.vtube_studio is not None:
        host, port = _receiver("--vtube-studio", options.vtube_studio, 8001)
        nodes["vtube_studio"] = {
            "type": "nodes.sinks.vtube_studio:VtubeStudio",
            "inputs": {"rig": rig},
            "parameters": {"host": host, "port": port},
        }
        processes["net"]["nodes"].append("vtube_studio")
    if options.publish is not None:
        publish.check_address(options.publish)
        sound = nodes[roles["out"]]["inputs"].get("audio")
        nodes["publish"] = {
            "type": "nodes.sinks.publish:Publish",
            "inputs": {"video": video} | ({"audio": sound} if sound else {}),
            "parameters": {"url": options.publish},
        }
        processes["publish"] = {"nodes": ["publish"]}  # what waits for the network waits alone
    if options.avatar is not None:
        nodes[roles["avatar"]]["parameters"] = {"file": str(avatar_file(options.avatar))}
    page = asdict(page_options(options))
    del page["socket"]
    nodes[roles["out"]]["parameters"] = page
    return raw


def _camera(device: str, muted: bool) -> tuple[dict[str, Any], bool]:
    """The node that reads ``device``, and whether sound comes from it. Raises MienError."""
    if is_address(device):
        check_address(device)
        node = {
            "type": "nodes.sources.network_camera:NetworkCamera",
            "parameters": {"address": device},
        }
        return node, False
    if not _is_device(device):
        if not Path(device).exists():
            raise MienError(
                f"--camera {device}: there is no such file; a camera is a number, a path like "
                "/dev/video0, or an address like rtsp://192.168.1.20/stream"
            )
        with open_media(device) as opened:
            sounds = not muted and audio_stream(opened) is not None
        path = str(Path(device).resolve())
        parameters = {"path": path, "paced": True, "loop": True, "sound": sounds}
        return {"type": "nodes.sources.media_file:MediaFile", "parameters": parameters}, sounds
    return {"type": "nodes.sources.camera:Camera", "parameters": {"device": device}}, False


def _receiver(option: str, text: str, usual: int) -> tuple[str, int]:
    """The two halves of HOST:PORT. Raises UsageError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise UsageError(f"{option} {text}: give HOST:PORT, as 127.0.0.1:{usual}")
    return host.strip("[]"), int(port)


def _is_device(name: str) -> bool:
    """Whether a camera of this machine is meant, be it plugged in or not."""
    return name.isdecimal() or name.startswith("/dev/") or unusual(Path(name)) == "a device"


def _token_for(address: str, public_url: str) -> str:
    """Made here, not by the server, so that a server that is started again knows it."""
    alone = address in ("127.0.0.1", "localhost", "::1") and not public_url
    return "" if alone else secrets.token_urlsafe(18)


def free_port(address: str) -> int:
    """A port that nobody uses; chosen here so that a restarted process keeps it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        return int(server.getsockname()[1])


def run(options: argparse.Namespace) -> int:
    if options.port == 0:
        options.port = free_port(options.address)
    if options.publish is not None:
        publish.take_key(options.publish_key)
    permits = use_weights(options)
    for portrait in options.portrait or ():
        ask_consent(Path(portrait), options.consent)
    plan = live_graph(options)
    given = [*face_settings(options, Roles(plan)), *options.settings]
    graph = load(plan, given)
    console.print(permits, highlight=False, soft_wrap=True)
    return run_supervised(
        graph,
        seconds=options.seconds,
        on_ready=_tell_url,
        settings=kept_settings(options, given, graph.roles),
    )


def kept_settings(options: argparse.Namespace, given: list[str], roles: Roles) -> Settings:
    """What was set in earlier runs; what is given for this one wins."""
    names = {text.partition("=")[0].strip() for text in given}
    if options.no_settings:
        return Settings()
    return Settings(Path(options.kept) if options.kept else default_path(), names)


async def _tell_url(supervisor: Supervisor) -> None:
    deadline = asyncio.get_running_loop().time() + URL_WITHIN_S
    while asyncio.get_running_loop().time() < deadline:
        out = supervisor.metrics()["nodes"].get(supervisor.graph.roles["out"], {})
        if url := out.get("gauges", {}).get("url"):
            console.print(Text.assemble("Mien is running: ", (url, "bold"), "   (Ctrl-C ends it)"))
            return
        await asyncio.sleep(0.05)
