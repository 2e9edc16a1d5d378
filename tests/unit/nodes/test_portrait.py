"""A still picture that talks: lips, lids, head; what stays; what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.clock import FakeClock
from engine.errors import MienError
from engine.node import Context
from engine.types import F32, U8, VideoFrame
from face.emotions import sides
from face.expression.speech import shut
from face.render.portrait import blink, turned
from face.render.renderer import placed
from face.render.teeth import Teeth
from face.rotations import from_angles
from face.topology import INNER_LIPS, LIDS, LOWER_INNER
from face.types import BLENDSHAPES, EMOTIONS, FaceRig
from nodes.face.portrait import Portrait, read
from nodes.face.stand_in import STARTS_NS, StandIn
from tests.faces import astronaut, seen_face

CALM = np.zeros(len(EMOTIONS), np.float32)
STILL = np.eye(3, dtype=np.float32)


def shapes(**amounts: float) -> F32:
    values = np.zeros(len(BLENDSHAPES), np.float32)
    for name, amount in amounts.items():
        values[sides(name)] = amount
    return values


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "astronaut.png"
    cv2.imwrite(str(path), astronaut())
    return path


@pytest.fixture(scope="module")
def node(photograph: Path) -> Iterator[Portrait]:
    made = Portrait(Portrait.Config(path=str(photograph)))
    made.setup()
    yield made
    made.close()


def drawn(node: Portrait, spoken: F32, turn: F32 = STILL, expression: F32 = CALM) -> U8:
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = turn
    rig = FaceRig(
        capture_ns=1,
        found=True,
        blendshapes=spoken,
        pose=pose,
        expression=expression,
        spoken=spoken,
    )
    return node.process(rig).pixels.copy()


def aperture(pixels: U8) -> float:
    """How far the inner lips are apart, in widths of the mouth."""
    lips = seen_face(pixels).landmarks[list(INNER_LIPS), :2]
    return float(np.ptp(lips[:, 1]) / np.ptp(lips[:, 0]))


def test_the_mouth_opens_as_far_as_it_is_told(node: Portrait) -> None:
    found = [aperture(drawn(node, shapes(jawOpen=amount))) for amount in (0.0, 0.3, 0.6)]
    assert found[0] < 0.12 and found[1] > found[0] + 0.08 and found[2] > found[1] + 0.08


def test_a_feeling_parts_lips_only_of_a_mouth_that_is_open(node: Portrait) -> None:
    afraid = np.eye(len(EMOTIONS), dtype=np.float32)[EMOTIONS.index("fear")]
    shut, spoken = shapes(), shapes(jawOpen=0.3)
    assert aperture(drawn(node, shut, expression=afraid)) < 0.12
    wider = aperture(drawn(node, spoken, expression=afraid)) - aperture(drawn(node, spoken))
    assert wider > 0.05


def test_of_a_picture_that_smiles_half_a_sadness_leaves_no_smile(node: Portrait) -> None:
    sad = 0.5 * np.eye(len(EMOTIONS), dtype=np.float32)[EMOTIONS.index("sad")]
    smiles = [
        seen_face(drawn(node, shapes(), expression=expression)).rig[sides("mouthSmile")].mean()
        for expression in (CALM, sad)
    ]
    assert smiles[0] > 0.3 and smiles[1] < 0.5 * smiles[0]


def test_teeth_show_in_a_mouth_and_not_in_a_slit() -> None:
    seen = seen_face(astronaut())
    closed, there = shut(seen.shape), seen.placement
    large = replace(there, scale=3 * there.scale, offset=3 * there.offset)
    for apart_cm, shows in ((0.05, False), (0.6, True)):
        shape = closed.copy()
        shape[list(LOWER_INNER[1:-1]), 1] -= np.float32(apart_cm)
        picture = np.zeros((3 * 512, 3 * 512, 3), np.uint8)
        skin = np.full(3, 200, np.float32)
        Teeth(closed).paint(picture, shape, placed(shape, large), large, skin, 1.0)
        assert picture.any() == shows


def test_lids_shut_and_show_no_eye(node: Portrait) -> None:
    opened, shut = drawn(node, shapes()), drawn(node, shapes(eyeBlink=1.0))
    lids = seen_face(opened).landmarks
    for upper, lower in LIDS:
        ring = lids[[*upper, *lower], :2]
        (left, top), (right, bottom) = ring.min(axis=0).astype(int), ring.max(axis=0).astype(int)
        part = np.s_[top : bottom + 1, left + 4 : right - 3]
        # The dark of the iris makes way for even skin and lashes.
        assert opened[part].min() < 20 and shut[part].min() > 45
        assert shut[part].std() < 0.75 * opened[part].std()


def test_only_the_head_moves(node: Portrait) -> None:
    still = drawn(node, shapes())
    moved = drawn(node, shapes(jawOpen=0.3), from_angles(4, 2, 2))
    apart = np.abs(moved.astype(int) - still.astype(int)).max(axis=2)
    assert apart[300:, :].max() == 0  # arms and helmet
    assert apart[:, :60].max() == 0 and apart[:, 400:].max() == 0  # flag and shuttle
    assert apart[20:180, 170:290].mean() > 3


def test_a_head_turns_on_its_neck() -> None:
    placement = seen_face(astronaut()).placement
    pose = turned(placement, from_angles(5, 0))
    neck = np.array([0, -11, -7], np.float32)
    for one in (placement, pose):
        there = one.scale * (one.turn @ neck) + one.offset
        assert there == pytest.approx(
            placement.scale * (placement.turn @ neck) + placement.offset, abs=1e-2
        )


def test_half_a_blink_is_half_way() -> None:
    shape = seen_face(astronaut()).shape
    before = [shape[u[4]][1] - shape[lo[4]][1] for u, lo in LIDS]
    half = blink(shape.copy(), shapes(eyeBlink=0.5))
    after = [half[u[4]][1] - half[lo[4]][1] for u, lo in LIDS]
    assert after == pytest.approx(np.array(before) / 2, rel=1e-3)


def test_a_face_that_is_lost_shows_the_still(node: Portrait) -> None:
    zeros = np.zeros((4, 4), np.float32)
    lost = FaceRig(capture_ns=1, found=False, blendshapes=shapes(), pose=zeros)
    assert (node.process(lost).pixels == astronaut()).all()


def test_a_badge_says_that_it_was_made(photograph: Path, node: Portrait) -> None:
    marked = Portrait(Portrait.Config(path=str(photograph), badge=True))
    marked.setup()
    plain, badged = drawn(node, shapes()), drawn(marked, shapes())
    marked.close()
    rows, columns = np.nonzero((plain != badged).any(axis=2))
    height, width = plain.shape[:2]
    assert rows.min() > 0.85 * height and columns.min() > 0.85 * width
    corner = badged[rows.min() : rows.max(), columns.min() : columns.max()]
    assert corner.max() > 230 and corner.min() < 120


def test_another_portrait_is_chosen_while_it_runs(photograph: Path, tmp_path: Path) -> None:
    mirrored, empty = tmp_path / "other.png", tmp_path / "empty.png"
    cv2.imwrite(str(mirrored), np.ascontiguousarray(astronaut()[:, ::-1]))
    cv2.imwrite(str(empty), np.full((300, 300, 3), 90, np.uint8))
    gauges: dict[str, object] = {}
    node = Portrait(
        Portrait.Config(path=str(photograph), others=f"{mirrored}\n{empty}"),
        Context(gauge=gauges.__setitem__),
    )
    node.setup()
    assert gauges["portraits"] == "astronaut\nother\nempty"
    first = drawn(node, shapes())
    node.reconfigure(replace(node.config, shown=1))
    second = drawn(node, shapes())
    assert np.abs(second[:, ::-1].astype(int) - first).mean() < 3
    for number, words in ((2, "no face in empty.png"), (3, "3 portraits; none has number 3")):
        with pytest.raises(MienError, match=words):
            node.reconfigure(replace(node.config, shown=number))
        assert node.config.shown == 1 and np.array_equal(drawn(node, shapes()), second)
    node.close()


def test_a_picture_stands_in_while_the_camera_is_lost(photograph: Path) -> None:
    clock, said = FakeClock(0), list[tuple[str, str]]()
    context = Context(clock=clock, status=lambda condition, text: said.append((condition, text)))
    node = StandIn(StandIn.Config(path=str(photograph), person="", after_ms=500), context)
    node.setup()
    rig = FaceRig(capture_ns=1, found=True, blendshapes=shapes(), pose=np.eye(4, dtype=np.float32))
    assert node.on_rig(rig) is None  # a camera takes its time
    clock.advance(STARTS_NS)
    assert node.on_rig(rig) is not None  # there is none
    frame = VideoFrame(capture_ns=2, pixels=astronaut())
    assert node.on_video(frame) is frame and said[-1] == ("ok", "")
    clock.advance(400_000_000)
    assert node.on_rig(rig) is None
    clock.advance(200_000_000)
    picture = node.on_rig(rig)
    assert picture is not None and picture.pixels.shape == astronaut().shape
    assert said[-1][0] == "degraded" and "stands in" in said[-1][1]
    assert node.on_video(frame) is frame and said[-1] == ("ok", "")
    assert node.on_rig(rig) is None
    node.close()


def refused(path: Path) -> str:
    node = Portrait(Portrait.Config(path=str(path)))
    with pytest.raises(MienError) as told:
        node.setup()
    return str(told.value)


def test_a_picture_without_a_face_is_named(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    cv2.imwrite(str(path), np.full((300, 300, 3), 90, np.uint8))
    assert refused(path).startswith("no face in empty.png")


def test_a_face_too_small_to_talk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    cv2.imwrite(str(path), cv2.resize(astronaut()[:260, 100:360], (84, 84)))
    assert "px wide" in refused(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "nobody.jpg" in refused(tmp_path / "nobody.jpg")


def test_a_large_picture_is_made_smaller(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    cv2.imwrite(str(path), cv2.resize(astronaut(), (3001, 2000)))
    assert read(path, 720).shape == (480, 720, 3)
