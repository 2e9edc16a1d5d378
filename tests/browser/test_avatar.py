"""A 3D avatar in the picture's place wears what is asked for, in either browser."""

from __future__ import annotations

import copy
import json
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engine.types import F32, U8
from nodes.web.avatar_file import HEAD, avatar_file
from nodes.web.rigs import NAMES
from tests.browser.conftest import launched
from tests.browser.engine import Engine
from tests.browser.firefox import Firefox
from tests.browser.page import LivePage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

SMALL = {"width": 360, "height": 360}
SHOWN = "document.documentElement.dataset.figure === 'shown'"
DRAWN = "Number(document.querySelector('#figure').dataset.frames)"
FACE = np.s_[80:260, 110:250]
DROP = """([name, text]) => {
  const held = new DataTransfer();
  held.items.add(new File([text], name));
  const how = { dataTransfer: held, bubbles: true, cancelable: true };
  document.body.dispatchEvent(new DragEvent("drop", how));
}"""
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def avatar_engine() -> Iterator[Engine]:
    """One that shows the head, and would broadcast to a port that nobody listens on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_PUBLISH_KEY", "key")
        running = Engine(
            "--no-settings", "--avatar", "head", "--publish", "rtmp://127.0.0.1:1/live"
        )  # fmt: skip
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser(playwright: Playwright, media: tuple[Path, Path]) -> Iterator[Browser]:
    """One that draws 3D without a graphics card."""
    yield from launched(playwright, media, "--enable-unsafe-swiftshader")


@pytest.fixture(scope="module")
def live(browser: Browser, avatar_engine: Engine) -> Iterator[LivePage]:
    """The page that has the camera; it shows the picture, so that it has time for it."""
    with LivePage.opened(browser, avatar_engine.url + "?avatar=picture") as opened:
        opened.start()
        yield opened


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """An X server of the test's own, for the browser that draws no 3D without."""
    if not (server := shutil.which("Xvfb")):
        pytest.skip("no X server here: apt install xvfb")
    told, tells = os.pipe()
    running = subprocess.Popen(
        [server, "-displayfd", str(tells), "-nolisten", "tcp"],
        pass_fds=[tells], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(tells)
    with os.fdopen(told) as number:
        yield f":{number.readline().strip()}"
    running.terminate()
    running.wait()


@pytest.fixture(scope="module")
def firefox(display: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    profile = tmp_path_factory.mktemp("firefox")
    running = Firefox(profile, display, **{"webgl.force-enabled": True})
    yield running
    running.close()


def seen(path: Path) -> F32:
    """A screenshot [H, W, channels]: BGR, and alpha where it has some."""
    import cv2

    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture.astype(np.float32)


def pictures_of(path: Path) -> list[U8]:
    """A recording's pictures [H, W, 3]; it has sound, too."""
    import av

    with av.open(str(path)) as container:
        assert container.streams.audio
        frames = container.decode(video=0)
        return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]


def worn(
    engine: Engine,
    shoot: Callable[[Path], Any],
    folder: Path,
    emotions: tuple[str, ...] = ("happy", "surprised", "neutral"),
) -> dict[str, F32]:
    """The head [360, 360, 3] in each emotion, once it no longer changes."""
    shots: dict[str, F32] = {}

    def shot(name: str) -> F32:
        shoot(folder / f"{name}.png")
        return seen(folder / f"{name}.png")[..., :3]

    before = shot("first")  # neutral, or what it was before a rig came
    for emotion in emotions:
        unlike = list(shots.values()) or [before]
        engine.call("set", node="editor", parameter="emotion", value=emotion)
        deadline_s = time.monotonic() + WITHIN_S
        while True:
            now = shot(emotion)
            if differ(now, before) < 0.3 and all(differ(now, other) > 1.0 for other in unlike):
                break
            assert time.monotonic() < deadline_s, f"{emotion} isn't seen"
            before = now
            time.sleep(0.3)
        shots[emotion] = now
    return shots


def differ(one: F32, other: F32) -> float:
    """How far two faces are apart, in 255ths."""
    return float(np.abs(one - other)[FACE].mean())


def test_in_chromium(
    live: LivePage, browser: Browser, avatar_engine: Engine, tmp_path: Path
) -> None:
    url = avatar_engine.url + "?watch&clean"
    with LivePage.opened(browser, url, viewport=SMALL) as clean:
        clean.page.wait_for_function(f"() => {SHOWN} && {DRAWN} > 1")

        def shoot(path: Path) -> None:
            clean.page.screenshot(path=path, omit_background=True)

        shots = worn(avatar_engine, shoot, tmp_path)
        alpha = seen(tmp_path / "neutral.png")[..., 3]
        assert not alpha[:20].any() and not alpha[:200, :40].any()  # nothing beside the head
        assert (alpha[100:200, 140:220] == 255).all()
        skin = shots["neutral"][200:230, 160:200].mean(axis=(0, 1))  # below the mouth
        assert skin[2] > skin[1] > skin[0] > 30
        assert clean.page.evaluate("!document.querySelector('#avatar').paused")  # its sound
        chosen = '[data-figure-choice="engine"][aria-checked="true"]'
        assert clean.page.locator(chosen).count() == 1
        assert not [text for text in clean.complaints if "GL Driver Message" not in text]
        assert clean.page.evaluate("window.violations") == []


def test_a_broadcast_that_nobody_takes_is_said(live: LivePage) -> None:
    said = live.page.locator('[data-badge="unsent"]', has_text="connection refused")
    said.wait_for()
    assert "it is tried again" in said.inner_text()


def test_in_firefox(
    live: LivePage, avatar_engine: Engine, firefox: Firefox, tmp_path: Path
) -> None:
    page = firefox.page(avatar_engine.url + "?watch&clean&background=00aa44", **SMALL)
    page.wait(f"{SHOWN} && {DRAWN} > 1", WITHIN_S)
    shots = worn(avatar_engine, page.screenshot, tmp_path)
    assert (shots["happy"][:20] == (68, 170, 0)).all()
    assert firefox.complaints == []
    page.close()


UNPLUG = """() => {
  for (const track of document.querySelector("#self").srcObject.getVideoTracks()) {
    track.stop();
    track.dispatchEvent(new Event("ended"));
  }
}"""
NO_CAMERA = """() => {
  const devices = navigator.mediaDevices;
  window.asks = devices.getUserMedia.bind(devices);
  devices.getUserMedia = (wanted) =>
    wanted.video ? Promise.reject(new DOMException("none", "NotFoundError")) : window.asks(wanted);
}"""
PLUG_IN = """() => {
  if (window.asks) navigator.mediaDevices.getUserMedia = window.asks;
  navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
}"""


def test_without_a_camera_the_voice_moves_it(live: LivePage, avatar_engine: Engine) -> None:
    page, says = live.page, live.page.locator("#say")

    def voice() -> tuple[int, int]:
        node = avatar_engine.call("metrics")["nodes"]["voice_face"]
        return node["count_out"], node["counters"].get("handed_over", 0)

    def lives_on(handed: int) -> bool:
        before, _ = voice()
        return avatar_engine.wait(lambda: voice()[1] >= handed and voice()[0] > before + 10)

    assert avatar_engine.wait(
        lambda: avatar_engine.call("metrics")["nodes"]["rig_out"]["fps_out"] > 3
    )
    _, handed = voice()
    page.evaluate(UNPLUG)
    says.get_by_text("The camera went away: your voice moves the avatar").wait_for()
    assert lives_on(handed + 1) and live.data("state") != "trouble"
    page.evaluate(PLUG_IN)
    assert lives_on(handed + 2) and live.data("self") == "shown"
    page.locator("#start").click()
    page.evaluate(NO_CAMERA)
    page.locator("#start").click()
    says.get_by_text("No camera found: your voice moves the avatar").wait_for()
    assert lives_on(handed + 3) and page.locator(".self-pane").is_hidden()
    assert live.data("state") not in ("trouble", "waiting")
    page.evaluate(PLUG_IN)
    assert lives_on(handed + 4)


def parts(data: bytes) -> tuple[Any, bytes]:
    """A VRM's scene, and what it refers to."""
    (size,) = struct.unpack("<I", data[12:16])
    return json.loads(data[20 : 20 + size]), data[20 + size :]


def old_scene() -> Any:
    """The head's as a VRM 0 without ARKit's shapes: presets alone move it."""
    scene, _ = parts(HEAD.read_bytes())
    said = scene["extensions"].pop("VRMC_vrm")
    shapes = scene["meshes"][0]["extras"]["targetNames"]
    bones = [
        {"bone": name, "node": bone["node"]}
        for name, bone in said["humanoid"]["humanBones"].items()
    ]
    hips = said["humanoid"]["humanBones"]["hips"]["node"]
    scene["nodes"][hips]["rotation"] = [0, 1, 0, 0]  # these look the other way
    groups = [
        {"name": preset, "presetName": preset,
         "binds": [{"mesh": 0, "index": shapes.index(shape), "weight": 100}]}
        for preset, shape in (("joy", "jawOpen"), ("sorrow", "mouthFunnel"))
    ]  # fmt: skip
    scene["extensions"]["VRM"] = {
        "specVersion": "0.0", "meta": {"title": "old"}, "humanoid": {"humanBones": bones},
        "blendShapeMaster": {"blendShapeGroups": groups}, "firstPerson": {},
        "materialProperties": [],
    }  # fmt: skip
    scene["extensionsUsed"] = ["KHR_mesh_quantization", "VRM"]
    return scene


def old_avatar(path: Path) -> Path:
    packed = json.dumps(old_scene()).encode()
    packed += b" " * (-len(packed) % 4)
    _, rest = parts(HEAD.read_bytes())
    start = struct.pack("<4s4I", b"glTF", 2, 20 + len(packed) + len(rest), len(packed), 0x4E4F534A)
    path.write_bytes(start + packed + rest)
    return avatar_file(str(path))


MOVED = """async ([scene, names]) => {
  const { Figure } = await import("/static/figure.js");
  const whole = await (await fetch("/static/avatar/head.vrm")).arrayBuffer();
  const rest = new Uint8Array(whole).slice(20 + new DataView(whole).getUint32(12, true));
  const length = new TextEncoder().encode(scene).length;
  const told = new TextEncoder().encode(scene + " ".repeat(-length & 3));
  const bytes = new Uint8Array(20 + told.length + rest.length);
  new Uint32Array(bytes.buffer, 0, 5).set([0x46546C67, 2, bytes.length, told.length, 0x4E4F534A]);
  bytes.set(told, 20);
  bytes.set(rest, 20 + told.length);
  let figure = null;
  try {
    figure = await Figure.of(document.createElement("canvas"), bytes.buffer);
    figure.expect(names);
    figure.wear(new Float32Array(names.length).fill(0.5));
    figure.drawNow();
    const all = figure.vrm.expressionManager?.expressions ?? [];
    return all.filter(({ weight }) => weight > 0).map(({ expressionName }) => expressionName);
  } catch (error) {
    return error.message;
  } finally {
    figure?.dispose();
  }
}"""
"""what of an avatar moves where everything is half worn, or why it can't be shown"""


def others(scene: Any, old: Any) -> dict[str, Any]:
    """Avatars as other programs make them, by what is unusual of them: scenes."""
    made = {name: copy.deepcopy(scene) for name in (
        "bones with any name", "no expressions", "capitals", "eyes that block", "no neck, no look",
        "a bone that isn't there", "no head", "no author", "of tomorrow", "no bones", "a ring",
        "a skin without bones", "far too many points", "a picture that isn't there",
    )}  # fmt: skip
    says = {name: one["extensions"]["VRMC_vrm"] for name, one in made.items()}
    for number, node in enumerate(made["bones with any name"]["nodes"]):
        node["name"] = "骨 / [.]" if number % 2 else ""
    del says["no expressions"]["expressions"]
    named = says["capitals"]["expressions"]
    named["custom"] = {key[0].upper() + key[1:]: one for key, one in named["custom"].items()}
    named["custom"]["Ahoge"] = {"morphTargetBinds": [{"node": 999, "index": 0, "weight": 1}]}
    for one in says["eyes that block"]["expressions"]["preset"].values():
        one |= {"overrideBlink": "block", "overrideMouth": "blend", "overrideLookAt": "?"}
    del (
        says["no neck, no look"]["lookAt"],
        says["no neck, no look"]["humanoid"]["humanBones"]["neck"],
    )
    says["a bone that isn't there"]["humanoid"]["humanBones"]["jaw"] = {"node": 999}
    del says["no head"]["humanoid"]["humanBones"]["head"]
    del says["no author"]["meta"]
    says["of tomorrow"]["specVersion"] = "2.0"
    says["no bones"]["humanoid"]["humanBones"] = {}
    first = made["a ring"]["scenes"][0]["nodes"][0]
    made["a ring"]["nodes"][first]["children"] = [first]
    made["a skin without bones"]["skins"] = [{"joints": []}]
    made["far too many points"]["accessors"][0] = {
        "componentType": 5126, "type": "VEC3", "count": 2_000_000_000,
    }  # fmt: skip
    made["a picture that isn't there"]["bufferViews"][0]["byteOffset"] = 10**9
    made["old, with groups of its own"] = old
    said = old["extensions"]["VRM"]
    said["humanoid"]["humanBones"].append({"bone": "jaw", "node": -1})
    said["secondaryAnimation"] = {"boneGroups": [{"bones": [-1], "center": -1}]}
    said["blendShapeMaster"]["blendShapeGroups"] += [
        {"name": "", "presetName": "", "binds": []},
        {"name": "Vrc.V_oh", "presetName": "unknown", "binds": [{"mesh": 9, "index": 0}]},
    ]
    return made


def test_avatars_of_others_move_or_say_why_not(live: LivePage) -> None:
    scene, _ = parts(HEAD.read_bytes())
    moved = {
        name: live.page.evaluate(MOVED, [json.dumps(one), NAMES])
        for name, one in others(scene, old_scene()).items()
    }
    assert moved.pop("no expressions") == []
    assert set(moved.pop("old, with groups of its own")) == {"happy", "sad"}
    assert "JawOpen" in moved["capitals"]
    for name in (
        "bones with any name",
        "capitals",
        "eyes that block",
        "no neck, no look",
        "a picture that isn't there",
    ):
        assert len(moved.pop(name)) >= 51, name
    assert "required but not exist: head" in moved.pop("no head")
    assert "required but not exist: hips" in moved.pop("no bones")
    assert moved.pop("a ring").startswith("it is no whole VRM file (")
    assert moved.pop("far too many points").startswith("it is no whole VRM file (")
    for name in ("a bone that isn't there", "a skin without bones"):
        said = moved.pop(name)
        assert said == "it is no whole VRM file (it speaks of parts that it doesn't have)", name
    assert moved == {
        "no author": "it doesn't say whose it is (VRM's meta); export it again",
        "of tomorrow": "it is of VRM 2.0, and 0 and 1.0 can be shown; export it as one of them",
    }


def test_a_vrm_0_and_what_is_none(
    live: LivePage, browser: Browser, avatar_engine: Engine, tmp_path: Path
) -> None:
    url = avatar_engine.url + "?watch&clean&avatar=picture"
    with LivePage.opened(browser, url, viewport=SMALL) as page:
        page.page.evaluate(DROP, ["broken.vrm", "glTF, or so it says"])
        said = page.page.locator(".toast", has_text="broken.vrm can't be shown")
        said.wait_for(state="attached")
        assert page.data("figure") == "" and page.page.locator("#figure").is_hidden()

        page.page.locator("#figure-file").set_input_files(old_avatar(tmp_path / "old.vrm"))
        page.wait("figure", "shown")
        chosen = '[data-figure-choice="file"][aria-checked="true"]'
        assert page.page.locator(chosen).count() == 1
        page.page.wait_for_function(f"() => {DRAWN} > 1")

        def shoot(path: Path) -> None:
            page.page.screenshot(path=path)

        worn(avatar_engine, shoot, tmp_path, ("happy", "sad"))
        page.page.locator("#record").evaluate("it => it.click()")
        drawn = page.page.evaluate(DRAWN)
        page.page.wait_for_function(f"() => {DRAWN} > {drawn + 5}")
        with page.page.expect_download() as download:  # another view ends what was recorded of this
            page.page.locator('[data-figure-choice="picture"]').evaluate("it => it.click()")
        recording = tmp_path / download.value.suggested_filename
        download.value.save_as(recording)
        filmed = pictures_of(recording)
        assert len(filmed) > 1 and filmed[-1].shape[0] == filmed[-1].shape[1]  # not the camera's
        assert filmed[-1][120:240, 140:220].mean() > filmed[-1][:40, :40].mean() + 20
        assert page.data("figure") == "" and page.page.locator("#figure").is_hidden()
        assert page.page.evaluate("window.violations") == []
