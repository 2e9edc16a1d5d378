"""The rig: placing a head, moving landmarks, the shipped weights."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest

from engine.errors import MienError
from engine.types import F32
from face.emotions import FEELING, emotion_shapes, sides
from face.expression.retargeting import Retargeting
from face.render.warp import apply_flow, dense_flow, rasterize
from face.rig import RIG_PATH, Placement, align, camera_pose, load_rig
from face.smoothing import OneEuro
from face.topology import CHIN, LOWER_INNER, RIGID, UPPER_INNER
from face.types import BLENDSHAPES, EMOTIONS

rig = load_rig()


def turned(yaw_deg: float = 0.0, scale: float = 20.0) -> tuple[F32, Placement]:
    """The mean face as landmarks [px] of a 640x480 picture, and where it stands."""
    yaw = np.radians(yaw_deg)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    offset = np.array([320, -240, 0], np.float32)
    points = (scale * rig.mean @ turn.T + offset) * [1, -1, -1]
    return points.astype(np.float32), Placement(turn.astype(np.float32), scale, offset)


def test_the_shipped_weights_are_those_of_the_card() -> None:
    card = tomllib.loads((RIG_PATH.parent / "card.toml").read_text(encoding="utf-8"))
    assert card["sha256"] == hashlib.sha256(RIG_PATH.read_bytes()).hexdigest()
    assert card["nc"] == "unknown" and card["metrics"]["variance_explained_held_out_people"] > 0.5
    assert RIG_PATH.stat().st_size < 400_000
    assert rig.mean.shape == (478, 3) and rig.basis.shape == (52, 478, 3)
    assert (rig.response >= 0.5).all() and (rig.response <= 1).all()


@pytest.mark.parametrize("yaw_deg", [-50, 0, 30])
def test_a_head_is_placed_where_it_stands(yaw_deg: float) -> None:
    points, truth = turned(yaw_deg)
    found = rig.place(points)
    assert np.allclose(found.turn, truth.turn, atol=1e-3)
    assert found.scale == pytest.approx(truth.scale, rel=1e-3)
    assert np.allclose(rig.face(points, found), rig.mean, atol=1e-2)
    pose = camera_pose(found, 640, 480)
    assert np.allclose(pose[:2, 3], 0, atol=0.5) and pose[2, 3] < -10


def test_alignment_never_mirrors() -> None:
    flipped = rig.mean[RIGID] * np.array([-1, 1, 1], np.float32)
    assert np.linalg.det(align(rig.mean[RIGID], flipped).turn) == pytest.approx(1, abs=1e-4)


def test_shapes_move_what_they_are_named_for() -> None:
    _, placement = turned()

    def rise(name: str, landmark: int) -> float:
        change = np.zeros(52, np.float32)
        change[BLENDSHAPES.index(name)] = 1
        return -float(rig.displace(change, placement)[landmark, 1])

    assert rise("mouthSmileLeft", 291) > 2 and rise("mouthSmileRight", 61) > 2
    assert rise("mouthSmileLeft", 291) > 2 * abs(rise("mouthSmileLeft", 61))
    assert rise("browInnerUp", 107) > 2 and rise("browDownLeft", 285) < -2
    assert rise("jawOpen", 14) < -4 and rise("eyeSquintLeft", 374) > 0.5


def test_the_basis_is_the_same_on_both_sides() -> None:
    left = rig.basis[BLENDSHAPES.index("mouthSmileLeft")]
    right = rig.basis[BLENDSHAPES.index("mouthSmileRight")][rig.mirror] * [-1, 1, 1]
    assert np.abs(left - right).max() < 0.02


def test_a_missing_or_broken_rig_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="cannot be read"):
        load_rig(tmp_path / "none.npz")
    for number, content in enumerate((b"no archive", b"", RIG_PATH.read_bytes()[:5000])):
        (tmp_path / f"{number}.npz").write_bytes(content)
        with pytest.raises(MienError, match=r"weight .* cannot be read .*; reinst") as caught:
            load_rig(tmp_path / f"{number}.npz")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_lips_keep_their_distance_and_nothing_runs_off(emotion: str) -> None:
    points, placement = turned(15)
    source = np.zeros(52, np.float32)
    source[sides("mouthSmile")], source[sides("jawOpen")] = 0.9, 0.3
    target = np.where(FEELING, 0, source).astype(np.float32) + emotion_shapes(emotion)
    retargeting = Retargeting(
        rig, lambda seen: np.full(52, 0.5, np.float32)
    )  # a network that never answers
    first = retargeting.displacements(points, source, target, placement)
    for _ in range(50):
        displacements = retargeting.displacements(points, source, target, placement)
    assert (
        np.isfinite(displacements).all()
        and np.abs(displacements).max() < 0.2 * 8.9 * placement.scale
    )
    parting = (displacements[list(UPPER_INNER)] - displacements[list(LOWER_INNER)])[:, 1]
    assert np.abs(parting).max() < 0.02 * 8.9 * placement.scale
    retargeting.reset()
    assert np.allclose(retargeting.displacements(points, source, target, placement), first)


@pytest.mark.parametrize("smile", [0.0, 0.6])
def test_lips_part_with_a_jaw_that_drops_if_they_may(smile: float) -> None:
    chin, (points, placement) = CHIN, turned()
    source = np.zeros(52, np.float32)
    source[sides("mouthSmile")] = smile
    target = np.zeros(52, np.float32)
    retargeting = Retargeting(rig, lambda seen: np.zeros(52, np.float32))
    shut = retargeting.displacements(points, source, target, placement, opens=True)
    target[sides("jawOpen")] = 0.5
    assert np.allclose(retargeting.displacements(points, source, target, placement), shut)
    dropped = retargeting.displacements(points, source, target, placement, opens=True)
    own = rig.displace(target, placement)

    def parting(displacements: F32) -> F32:
        parted: F32 = (displacements[list(LOWER_INNER)] - displacements[list(UPPER_INNER)])[1:-1, 1]
        return parted

    parted = parting(dropped) - parting(shut)
    assert np.allclose(parted, parting(own), atol=0.1 * parting(own).max())
    assert dropped[chin, 1] - shut[chin, 1] > 0.7 * own[chin, 1] > 0


@pytest.mark.parametrize(("jaw", "closes"), [(0.0, 0.95), (0.1, 0.95), (0.2, 0.475), (0.3, 0.0)])
def test_a_smile_takes_along_what_it_bared_but_speech_stays(jaw: float, closes: float) -> None:
    points, placement = turned()
    inside = list(LOWER_INNER[1:-1])
    points[inside, 1] += 0.5 * placement.scale  # teeth show
    source = np.zeros(52, np.float32)
    source[sides("mouthSmile")], source[sides("jawOpen")] = 0.6, jaw
    retargeting = Retargeting(rig, lambda seen: np.zeros(52, np.float32))
    displacements = retargeting.displacements(
        points, source, np.where(FEELING, 0, source), placement
    )
    after = points[:, :2] + displacements

    def opening(at: F32) -> float:
        return float((at[inside, 1] - at[list(UPPER_INNER[1:-1]), 1]).mean())

    assert opening(after) == pytest.approx(
        (1 - closes) * opening(points), abs=0.07 * opening(points)
    )
    worn_too = retargeting.displacements(
        points, source, source + emotion_shapes("fear"), placement
    )  # the smile stays
    assert opening(points[:, :2] + worn_too) == pytest.approx(opening(points), rel=0.2)


def test_who_smiles_and_speaks_keeps_the_lips_motion() -> None:
    """Teeth of a silent smile are covered; once the lips have met, an opening is speech, until they
    stay open for seconds."""
    calm, placement = turned()
    inside, px = list(LOWER_INNER[1:-1]), placement.scale
    closed = calm.copy()
    closed[inside, 1] = calm[list(UPPER_INNER[1:-1]), 1]
    source = np.zeros(52, np.float32)
    source[sides("mouthSmile")] = 0.6
    retargeting = Retargeting(rig, lambda seen: np.zeros(52, np.float32))

    def left(parted_cm: float) -> float:
        """How much of an opening is left, cm."""
        points = closed.copy()
        points[inside, 1] += parted_cm * px
        displacements = retargeting.displacements(
            points, source, np.where(FEELING, 0, source), placement
        )
        parted = (points[:, :2] + displacements)[inside, 1] - (points[:, :2] + displacements)[
            UPPER_INNER[1:-1], 1
        ]
        return float(parted.mean()) / px

    assert left(0.5) < 0.1  # teeth
    assert left(0.0) < 0.1  # a bilabial
    speaking = [left(parted) for parted in (0.5, 0.8, 0.3, 0.0, 0.5)]
    assert np.allclose(speaking, [0.5, 0.8, 0.3, 0.0, 0.5], atol=0.1)
    smiling = [left(0.5) for _ in range(100)]
    assert all(np.diff(smiling) < 1e-3) and smiling[-1] < 0.1 < 0.4 < smiling[0]


def test_lids_open_wide_but_for_a_blink() -> None:
    points, placement = turned()

    def moved(blink: float) -> F32:
        """How far upper lids and the skin around eyes move, in eye distances."""
        source, target = np.zeros((2, 52), np.float32)
        target[sides("eyeWide")] = 1
        source[sides("eyeBlink")] = target[sides("eyeBlink")] = blink
        retargeting = Retargeting(rig, lambda seen: np.zeros(52, np.float32))
        displacements = retargeting.displacements(points, source, target, placement)[
            [159, 386, 145, 374, 23, 253]
        ]
        apart: F32 = np.linalg.norm(displacements, axis=1) / np.linalg.norm(
            points[263] - points[33]
        )
        return apart

    assert moved(0.1)[:2].min() > 0.03 and moved(0.1).max() < 0.08
    assert moved(0.6).max() < 0.004  # else lashes, which lie on the skin below, were stretched


def test_brows_sink_in_a_blink_as_thick_as_they_were() -> None:
    """The skin between brow and lid folds evenly; held with the lid, it lay over the brow."""
    points, placement = turned()
    source = np.zeros(52, np.float32)
    source[sides("eyeBlink")] = 0.7
    points[:, :2] += rig.displace(source, placement)
    target = source.copy()
    target[sides("browDown")] = 1
    retargeting = Retargeting(rig, lambda seen: np.zeros(52, np.float32))
    after = points[:, :2] + retargeting.displacements(points, source, target, placement)
    for upper, lower, fold, lid in ((105, 52, 223, 159), (334, 282, 443, 386)):
        before_y, after_y = points[:, 1], after[:, 1]
        assert after_y[lower] - before_y[lower] > 0.02 * 8.9 * placement.scale
        assert after_y[lower] - after_y[upper] > 0.8 * (before_y[lower] - before_y[upper])
        assert after_y[upper] < after_y[lower] < after_y[fold] < after_y[lid]


def test_the_loop_reaches_what_a_gain_falls_short_of() -> None:
    points, placement = turned()
    smile = BLENDSHAPES.index("mouthSmileLeft")
    lifted = rig.displace(np.eye(52, dtype=np.float32)[smile], placement)

    def network(seen: F32) -> F32:
        """Sees half of the smile that the corner shows."""
        row = np.zeros(52, np.float32)
        row[smile] = 0.5 * (points[291, 1] - seen[291, 1]) / -lifted[291, 1]
        return row

    target = 0.4 * np.eye(52, dtype=np.float32)[smile]
    displacements = Retargeting(rig, network).displacements(
        points, np.zeros(52, np.float32), target, placement
    )
    seen = points.copy()
    seen[:, :2] += displacements * rig.response[:, None]
    plain = points.copy()
    plain[:, :2] += 0.4 * lifted * rig.response[:, None]
    assert network(plain)[smile] < 0.2 < 0.3 < network(seen)[smile] < 0.42


def test_a_warp_moves_pixels_with_the_landmarks() -> None:
    points, placement = turned()
    picture = np.zeros((480, 640, 3), np.uint8)
    x, y = np.rint(points[291, :2]).astype(int)
    picture[y - 2 : y + 3, x - 2 : x + 3] = 255
    change = np.zeros(52, np.float32)
    change[BLENDSHAPES.index("mouthSmileLeft")] = 1
    displacements = rig.displace(change, placement)
    flow = dense_flow(points, displacements, rig.triangles, 640, 480)
    assert flow is not None
    rows, columns = np.nonzero(apply_flow(picture, flow)[..., 0] > 127)
    assert columns.mean() - x == pytest.approx(displacements[291, 0], abs=1.0)
    assert rows.mean() - y == pytest.approx(displacements[291, 1], abs=1.5)


@pytest.mark.parametrize("yaw_deg", [0, 35, -60])
def test_a_mesh_is_drawn_as_each_of_its_triangles(yaw_deg: float) -> None:
    """Against barycentric coordinates, triangle by triangle; what comes later lies above."""
    columns, rows = 60, 50
    points = (turned(yaw_deg, scale=4.0)[0][:, :2] - (290, 215)).astype(np.float32)
    values = np.random.default_rng(0).normal(0, 5, (478, 2)).astype(np.float32)
    drawn, inside = rasterize(points, values, rig.triangles, columns, rows)
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    wanted = np.full((2, rows, columns), np.nan)
    sure = np.ones((rows, columns), bool)
    for corners in rig.triangles:
        a, b, c = points[corners].astype(float)
        area = (b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0]
        if area >= -1e-3:
            continue
        share_b = ((x - a[0]) * (c - a)[1] - (y - a[1]) * (c - a)[0]) / area
        share_c = ((b - a)[0] * (y - a[1]) - (b - a)[1] * (x - a[0])) / area
        least = np.minimum(np.minimum(share_b, share_c), 1 - share_b - share_c)
        there = least >= 0
        sure &= np.abs(least) > 1e-3  # on an edge either side may be drawn
        first, second, third = values[corners].astype(float)
        flat = first[:, None, None] + np.multiply.outer(second - first, share_b)
        flat += np.multiply.outer(third - first, share_c)
        wanted[:, there] = flat[:, there]
    assert sure.sum() > 500
    assert np.array_equal(inside[sure], np.isfinite(wanted[0][sure]))
    compared = sure & inside
    assert np.abs(drawn - wanted)[:, compared].max() < 0.01
    assert not drawn[:, ~inside].any()


def test_no_flow_without_a_move_or_inside_no_picture() -> None:
    points, _ = turned()
    still = np.zeros((478, 2), np.float32)
    assert dense_flow(points, still, rig.triangles, 640, 480) is None
    assert dense_flow(points + 5000, still + 9, rig.triangles, 640, 480) is None


def test_one_euro_passes_the_first_and_bounds_gaps() -> None:
    steady = OneEuro(1.0, 0.0)
    one = np.ones(3, np.float32)
    assert np.array_equal(steady(one, 0.03), one)
    assert (steady(3 * one, 0.03) < 2).all()
    assert np.array_equal(steady(9 * one, 5.0), 9 * one)  # a gap: start anew


def test_one_euro_goes_on_while_no_value_comes() -> None:
    asked, held = OneEuro(1.0, 0.5), OneEuro(1.0, 0.5)
    one = np.ones(3, np.float32)
    asked(one, 0.03), held(one, 0.03)
    held.hold(0.03)
    apart = held(3 * one, 0.03)
    assert (apart < asked(3 * one, 0.06)).all()  # as quick a change, less time to follow
    nearer = held.hold(0.03)
    assert (apart < nearer).all() and (nearer < 3).all()
    assert np.array_equal(held.hold(0.0), nearer)
