"""`live --camera`: a device, an address or a film, each by its own node; mistakes are one line."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from commands.live import add_arguments, live_graph
from engine.errors import UsageError
from engine.graph import load
from engine.graph_spec import Graph
from nodes.face.plain import Plain
from nodes.sources.camera import Camera
from nodes.sources.media_file import MediaFile
from nodes.sources.network_camera import NetworkCamera
from nodes.web.avatar_file import HEAD
from run_engine import main
from tests.made_media import bars, clicks, make_video


def graph(*arguments: str) -> Graph:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return load(live_graph(parser.parse_args(arguments)))


def test_a_device() -> None:
    made = graph("--camera", "/dev/video3")
    assert made.nodes["camera"].node_type is Camera
    assert "voice_reader" not in made.nodes


def test_an_address() -> None:
    made = graph("--camera", "rtsp://192.168.1.20/stream", "--mic", "default")
    assert made.nodes["camera"].node_type is NetworkCamera
    assert made.nodes["voice_reader"].inputs["audio"] == ("microphone", "audio")


def test_a_film_brings_its_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_video(tmp_path / "film: 1.mp4", [bars()] * 5, sound=clicks(0.2, [0.1]))
    monkeypatch.chdir(tmp_path)
    made = graph("--camera", "film: 1.mp4")
    config = made.nodes["camera"].config
    assert made.nodes["camera"].node_type is MediaFile
    assert (config.path, config.paced, config.loop) == (str(tmp_path / "film: 1.mp4"), True, True)
    assert made.nodes["voice_reader"].inputs["audio"] == ("camera", "audio")
    assert made.nodes["out"].inputs["audio"] == ("camera", "audio")
    spoken = graph("--camera", "film: 1.mp4", "--mic", "default")
    assert spoken.nodes["out"].inputs["audio"] == ("microphone", "audio")
    assert not spoken.nodes["camera"].config.sound


def test_a_film_without_sound(tmp_path: Path) -> None:
    make_video(tmp_path / "film.mp4", [bars()] * 5)
    made = graph("--camera", str(tmp_path / "film.mp4"))
    assert "voice_reader" not in made.nodes and "audio" not in made.nodes["out"].inputs


def test_a_picture_talks(tmp_path: Path) -> None:
    make_video(tmp_path / "voice.mkv", [bars()], sound=clicks(0.5, [0.1]))
    made = graph("--portrait", "face.jpg", "--vmc", "127.0.0.1:40000")
    assert made.nodes["voice_face"].inputs["audio"] == ("browser", "audio")
    assert made.nodes["vmc"].inputs["rig"] == ("voice_face", "rig")
    assert Path(made.nodes["portrait"].config.path).name == "face.jpg"
    made = graph("--portrait", "face.jpg", "--mic", str(tmp_path / "voice.mkv"))
    config = made.nodes["microphone"].config
    assert (config.pictures, config.paced, config.loop) == (False, True, True)
    assert "browser" not in made.nodes and made.nodes["microphone"].process == "net"
    assert graph("--camera", "none", "--person", "anna").nodes["portrait"].config.path == ""
    for given in (("--camera", "none"), ("--portrait", "face.jpg", "--camera", "0")):
        with pytest.raises(UsageError, match="--portrait"):
            graph(*given)


@pytest.mark.parametrize(
    ("camera", "says", "code"),
    [
        ("gopher://host/x", "a camera cannot be read by 'gopher://'", 2),
        ("rtsp://", "names no host", 2),
        ("notes.txt", "cannot read", 1),
        ("film.mov", "there is no such file; a camera is a number", 1),
        ("pipe.mp4", "is a pipe, not a file", 1),
        (".", "is a folder, not a video", 1),
    ],
)
def test_what_is_no_camera(
    camera: str,
    says: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "notes.txt").write_text("nothing moves here" + os.linesep)
    monkeypatch.chdir(tmp_path)
    assert main(["live", "--camera", camera]) == code
    error = capsys.readouterr().err
    assert error.startswith("mien: ") and says in error
    assert error.count("\n") == 1


def test_a_voice_alone_moves_an_avatar() -> None:
    made = graph("--camera", "none", "--avatar", "head", "--vmc")
    assert made.nodes["vmc"].inputs["rig"] == ("voice_face", "rig")
    assert made.nodes[made.nodes["out"].inputs["video"][0]].node_type is Plain
    assert "compositor" not in made.roles


def test_an_avatar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert graph().nodes["avatar"].config.file == ""
    made = graph("--avatar", "head", "--camera", "0", "--vmc")
    assert Path(made.nodes["avatar"].config.file) == HEAD
    assert made.nodes["vmc"].inputs["rig"] == made.nodes["avatar"].inputs["rig"]
    assert made.nodes["avatar"].inputs["rig"] == ("rig_out", "rig")  # nobody's voice is heard
    for heard in ((), ("--camera", "0", "--mic", "default")):
        made = graph("--avatar", "head", "--vtube-studio", *heard)
        for told in ("avatar", "vtube_studio"):
            assert made.nodes[told].inputs["rig"] == ("voice_face", "rig")
        voice = made.nodes["voice_face"].inputs
        assert voice["seen"] == ("rig_out", "rig")
        assert voice["audio"] == made.nodes["out"].inputs["audio"]
    assert "voice_face" not in graph().nodes
    (tmp_path / "me.vrm").write_text("no avatar")
    assert main(["live", "--no-settings", "--avatar", str(tmp_path / "me.vrm")]) == 1
    assert capsys.readouterr().err.strip().endswith("is no VRM avatar; give a .vrm file, or head")


def test_broadcasting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made = graph("--publish", "rtmp://example.org/live", "--camera", "0")
    assert made.nodes["publish"].inputs == {"video": ("compositor", "video")}
    assert graph("--publish", "rtmp://example.org/live").nodes["publish"].inputs["audio"]
    monkeypatch.delenv("MIEN_PUBLISH_KEY", raising=False)
    assert main(["live", "--no-settings", "--publish", "rtmp://example.org/live"]) == 1
    assert "needs the stream's key in MIEN_PUBLISH_KEY" in capsys.readouterr().err
    monkeypatch.setenv("MIEN_PUBLISH_KEY", "key")
    assert main(["live", "--no-settings", "--publish", "srt://example.org"]) == 2
    assert "takes rtmp://HOST/APP, rtmps://HOST/APP or WHIP's" in capsys.readouterr().err
