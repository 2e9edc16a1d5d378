"""What makes a still picture talk live: its graph, with the voice from where it is asked for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from commands.paths import GRAPHS
from engine.errors import UsageError
from engine.graph import read
from engine.roles import Roles
from media.local_file import open_alone
from media.probing import audio_stream


class _Once(argparse.Action):
    """An option of which the last of several would win without a word."""

    def __call__(self, _: Any, given: argparse.Namespace, value: Any, __: Any = None) -> None:
        if getattr(given, self.dest) is not None:
            raise argparse.ArgumentError(self, "a file shows one; give it once")
        setattr(given, self.dest, value)


def add_portrait_arguments(parser: Any, several: bool = False) -> None:
    """--portrait and --consent, for every command that makes a picture talk; ``several`` times
    where the page offers a choice."""
    more = "; again for more to choose from" if several else ""
    parser.add_argument(
        "--portrait", metavar="PICTURE", action="append" if several else _Once,
        help=f"a photograph or a painting that says what the voice says{more}",
    )  # fmt: skip
    parser.add_argument(
        "--consent", action="store_true",
        help="confirm that it is your face, or that its person agrees (once for each picture)",
    )  # fmt: skip


def without_camera(options: argparse.Namespace) -> bool:
    """Whether the voice alone moves a face: a picture's, or an avatar's. Raises UsageError where
    there is none."""
    if options.camera == "none" and not (_pictured(options) or _moves_avatar(options)):
        raise UsageError(
            "--camera none needs a face that your voice moves: --person, who was enrolled, "
            "--portrait, a picture, --avatar, --vmc or --vtube-studio"
        )
    return options.portrait is not None or options.camera == "none"


def _pictured(options: argparse.Namespace) -> bool:
    return options.portrait is not None or options.person is not None


def _moves_avatar(options: argparse.Namespace) -> bool:
    return any(one is not None for one in (options.avatar, options.vmc, options.vtube_studio))


def portrait_graph(options: argparse.Namespace) -> dict[str, Any]:
    """The portrait's graph; the voice is the page's, or with --mic this machine's, or a file's.
    Raises UsageError and MienError."""
    raw = read(GRAPHS / "portrait.toml")
    nodes, roles = raw["nodes"], Roles(raw)
    if options.camera not in (None, "none"):
        raise UsageError("--portrait takes no --camera: the picture is the face")
    if options.portrait is not None:
        first, *others = (str(Path(path).resolve()) for path in options.portrait)
        if others and options.person is not None:
            raise UsageError("--person is whom one --portrait shows; name one, or leave it out")
        nodes[roles["compositor"]]["parameters"] |= {"path": first, "others": "\n".join(others)}
    elif options.person is None:
        portrait = raw["roles"].pop("compositor")
        nodes[portrait] = {"type": "nodes.face.plain:Plain", "inputs": nodes[portrait]["inputs"]}
    if options.mic is not None:
        browser = raw["roles"].pop("browser")
        del nodes[browser]
        nodes["microphone"] = _voice(options.mic)
        for role in ("voice_reader", "editor", "out"):
            nodes[roles[role]]["inputs"]["audio"] = "microphone.audio"
        hosts = raw["processes"]["net"]["nodes"]
        hosts[hosts.index(browser)] = "microphone"
    return raw


def add_voice(raw: dict[str, Any], options: argparse.Namespace) -> tuple[str, str]:
    """Let the voice move avatars, and an enrolled person's own picture, while the camera shows no
    face, where they are asked for and a voice is heard. The picture and the rig that others get.
    Raises MienError."""
    nodes, roles = raw["nodes"], Roles(raw)
    video, rig = f"{roles['compositor']}.video", nodes[roles["avatar"]]["inputs"]["rig"]
    pictured = options.person is not None and _is_pictured(options.person)
    if "voice_reader" not in roles or not (pictured or _moves_avatar(options)):
        return video, rig
    reader = roles["voice_reader"]
    nodes["voice_face"] = {
        "type": "nodes.face.face_or_voice:FaceOrVoice",
        "inputs": {
            "seen": rig,
            "audio": nodes[reader]["inputs"]["audio"],
            "voice": f"{reader}.affect",
        },
        "parameters": {"late_ms": 600},
    }
    rig = nodes[roles["avatar"]]["inputs"]["rig"] = "voice_face.rig"
    raw["processes"]["face"]["nodes"].append("voice_face")
    if pictured:
        nodes["stand_in"] = {
            "type": "nodes.face.stand_in:StandIn",
            "inputs": {"video": video, "rig": rig},
            "parameters": {"person": options.person},
        }
        video = nodes[roles["out"]]["inputs"]["video"] = "stand_in.video"
        raw["processes"]["face"]["nodes"].append("stand_in")
    return video, rig


def _is_pictured(person: str) -> bool:
    """Whether a picture of somebody who is enrolled is kept. Raises MienError."""
    from face.render import person_file

    return person_file.load(person_file.place_of(person)).still is not None


def _voice(device: str) -> dict[str, Any]:
    """The node that hears: a microphone, or a file that is played over and over."""
    path = Path(device)
    if not path.is_file():
        parameters: dict[str, Any] = {"device": device}
        return {"type": "nodes.sources.microphone:Microphone", "parameters": parameters}
    with open_alone(path) as container:
        if audio_stream(container) is None:
            raise UsageError(f"--mic {device}: there is no sound in that file")
    parameters = {"path": str(path.resolve()), "pictures": False, "paced": True, "loop": True}
    return {"type": "nodes.sources.media_file:MediaFile", "parameters": parameters}
