"""References in files and graphs: pictures, clips, blends; and how they are worn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engine.errors import EndOfStream, MienError
from engine.node import Context
from engine.parameters import build
from engine.types import U8, Message
from face.emotions import JAW, sides
from face.expression.playing import Playing
from face.reference import Reference, ReferenceReader, beyond, blended, removed_for
from face.reference_file import STEP_NS, absolute, read_file, shared, track_of
from face.types import BLENDSHAPES, EMOTIONS, FaceEdit, FaceTrack, ReferenceTrack
from media.image_file import read_picture
from nodes.face.expression_editor import ExpressionEditor
from nodes.face.reference import Reference as ReferenceNode
from nodes.face.voice_face import VoiceFace
from run_engine import main
from tests.faces import FRAME_NS, seen_astronaut, seen_face
from tests.golden.heads import pictures

HAPPY, SURPRISED = EMOTIONS.index("happy"), EMOTIONS.index("surprised")
WITHIN_NS = 300_000_000


@pytest.fixture(scope="module")
def reader() -> Iterator[ReferenceReader]:
    reader = ReferenceReader()
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A smile, a surprise, and a clip of 0.8 s that goes from one to the other."""
    folder = tmp_path_factory.mktemp("references")
    smile, surprise = pictures()[0, [HAPPY, SURPRISED]]
    for name, pixels in (("smile", smile), ("surprise", surprise)):
        cv2.imwrite(str(folder / f"{name}.png"), pixels)
    write_clip(folder / "clip.mp4", [smile] * 10 + [surprise] * 10)
    return folder / "smile.png", folder / "surprise.png", folder / "clip.mp4"


def write_clip(path: Path, frames: list[U8]) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for pixels in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "bgr24")))
        out.mux(stream.encode())


def made(**shown: float) -> Reference:
    expression = np.zeros(len(EMOTIONS), np.float32)
    for name, amount in shown.items():
        expression[EMOTIONS.index(name)] = amount
    return Reference(
        shapes=np.zeros(len(BLENDSHAPES), np.float32),
        probabilities=expression,
        valence=0.0,
        arousal=0.0,
        intensity=1.0,
        expression=expression,
    )


def test_a_clip_is_read_in_its_own_time(
    files: tuple[Path, Path, Path], reader: ReferenceReader
) -> None:
    rows, notes = read_file(files[2], reader)
    assert not notes
    assert len(rows) == 10
    assert [int(row.expression.argmax()) for row in rows] == [HAPPY] * 5 + [SURPRISED] * 5
    assert len({row.parts for row in rows}) == 1  # what is said in it isn't worn
    clip = track_of([rows], [1.0], 7, "loop")
    assert clip.expression.shape == (10, 8)
    playing = Playing()
    playing.take(clip)

    def name_at(now_ns: int) -> int:
        shown = playing.at(now_ns)
        assert shown is not None
        return int(shown[0].argmax())

    begin = 5_000_000_000
    assert [name_at(begin + step * STEP_NS) for step in (0, 6, 10, 16)] == [5, 7, 5, 7]
    playing.take(clip)  # said again: it goes on
    assert name_at(begin + 17 * STEP_NS) == SURPRISED
    playing.take(replace(clip, capture_ns=8))  # another: from its beginning
    assert name_at(begin + 17 * STEP_NS) == HAPPY
    mean = track_of([rows], [1.0], 7, "mean")
    assert np.allclose(mean.expression[0], np.mean(clip.expression, axis=0), atol=1e-5)


def test_a_clip_without_a_face_says_so(tmp_path: Path, reader: ReferenceReader) -> None:
    write_clip(tmp_path / "wall.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 3)
    with pytest.raises(MienError, match=r"no face in wall\.mp4"):
        read_file(tmp_path / "wall.mp4", reader)


def test_pictures_are_blended_by_share_with_clips() -> None:
    smile, fear, sad = made(happy=1), made(fear=1), made(sad=1)
    both = track_of([[smile], [fear, sad, fear]], [1.0, 3.0], 0, "loop")
    assert both.expression[:, HAPPY] == pytest.approx([0.25] * 3)
    assert both.expression[:, EMOTIONS.index("sad")] == pytest.approx([0, 0.75, 0])
    assert len(track_of([], [], 0, "loop").shapes) == 0


def test_a_file_may_have_a_share(files: tuple[Path, Path, Path]) -> None:
    smile = files[0]
    assert shared(str(smile)) == (smile, 1.0)
    assert shared(f"{smile}:0.4") == (smile, 0.4)
    assert absolute(f"{smile}:0.4") == f"{smile}:0.4"
    with pytest.raises(MienError, match="a share is a number above 0"):
        shared(f"{smile}:0")
    with pytest.raises(MienError, match=r"no such file: nothing\.jpg; a reference is"):
        shared("nothing.jpg")


def test_the_node_reads_its_files_once_and_ends(files: tuple[Path, Path, Path]) -> None:
    said: list[tuple[str, Message]] = []
    node = ReferenceNode(
        build(ReferenceNode.Config, {"path": f"{files[0]}:3\n{files[1]}"}),
        Context(emit=lambda port, message: said.append((port, message))),
    )
    node.setup()
    ((port, message),) = said
    assert port == "reference"
    assert isinstance(message, ReferenceTrack)
    assert message.expression[0, HAPPY] > message.expression[0, SURPRISED] > 0
    with pytest.raises(EndOfStream):
        node.read()
    idle = ReferenceNode(
        ReferenceNode.Config(), Context(emit=lambda *_: pytest.fail("it has none"))
    )
    idle.setup()


# -- worn ------------------------------------------------------------------------------------------


def edits(node: ExpressionEditor, begin: int, count: int) -> list[FaceEdit]:
    face = seen_astronaut()
    return [
        node.process(
            FaceTrack(
                capture_ns=(begin + index + 1) * FRAME_NS,
                found=True,
                landmarks=face.landmarks,
                blendshapes=face.rig,
                pose=np.eye(4, dtype=np.float32),
            )
        )
        for index in range(count)
    ]


def editor(**values: object) -> ExpressionEditor:
    node = ExpressionEditor(build(ExpressionEditor.Config, {"mode": "reference", **values}))
    node.setup()
    return node


def test_without_a_reference_the_face_stays_as_it_is() -> None:
    node = editor()
    assert not edits(node, 0, 1)[0].active
    node.on_reference(track_of([], [], 1, "loop"))
    assert not edits(node, 1, 1)[0].active


def test_a_reference_is_worn_by_its_gain_and_another_within_300_ms() -> None:
    node = editor(reference_gain=1.5)
    node.on_reference(track_of([[made(happy=0.8)]], [1.0], 1, "loop"))
    first = edits(node, 0, 3)[-1]
    assert first.active
    assert first.expression[HAPPY] == pytest.approx(1.2)
    node.on_reference(track_of([[made(surprised=0.8)]], [1.0], 2, "loop"))
    after = edits(node, 3, 9)
    late = [e for e in after if e.capture_ns - first.capture_ns <= WITHIN_NS][-1]
    assert late.expression[SURPRISED] > 0.9 * 1.2
    assert late.expression[HAPPY] < 0.1 * 1.2


def test_shapes_beyond_the_expression_are_asked_for_but_the_mouth_stays_speechs() -> None:
    node = editor(smoothing=0.0)
    raised = np.zeros(len(BLENDSHAPES), np.float32)
    brow = sides("browOuterUp")[0]
    raised[brow] = 0.5
    node.on_reference(track_of([[replace(made(), beyond=raised)]], [1.0], 1, "loop"))
    edit = edits(node, 0, 2)[-1]
    assert edit.beyond[brow] == pytest.approx(0.5)
    assert edit.target[brow] > edit.target[sides("browOuterUp")[1]] + 0.3
    assert edit.target[JAW] == edit.source[JAW]


def test_who_is_calm_has_no_feeling_to_lose(reader: ReferenceReader) -> None:
    calm, happy = reader.people.rigs[0], reader.people.rigs[HAPPY]
    comes, none = made(sad=1).expression, made().expression
    assert removed_for(calm, comes, reader.people) == 0
    assert removed_for(happy, comes, reader.people) == 1
    assert removed_for(calm, none, reader.people) == removed_for(happy, none, reader.people) == 1


def test_what_an_expression_has_is_not_beyond_it(reader: ReferenceReader) -> None:
    usual = reader.people.rigs[HAPPY]
    happy = made(happy=1).expression
    assert not beyond(usual, happy, reader.people).any()
    brow = sides("browOuterUp")[0]
    lifted = usual.copy()
    lifted[brow] += 0.5
    other = beyond(lifted, happy, reader.people)
    assert np.flatnonzero(other).tolist() == [brow]
    assert 0.2 < other[brow] < 0.5


def test_a_talking_face_wears_a_reference_too() -> None:
    node = VoiceFace(build(VoiceFace.Config, {"mode": "reference", "reference_gain": 0.5}))
    node.setup()
    calm, none = node._wish(0)
    assert not calm.any()
    assert not none.any()
    node.on_reference(track_of([[made(sad=0.8)]], [1.0], 1, "loop"))
    wish, _ = node._wish(0)
    assert wish[EMOTIONS.index("sad")] == pytest.approx(0.4)
    node.close()


def test_a_mean_of_rows_is_one_row() -> None:
    assert blended([made(happy=1), made(sad=1)], [1, 1]).expression.sum() == pytest.approx(1)


def test_a_picture_wears_a_reference_from_the_command_line(
    files: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm, out, report = tmp_path / "calm.png", tmp_path / "out.png", tmp_path / "report.json"
    cv2.imwrite(str(calm), pictures()[1, 0])
    told = ["--reference", f"{files[0]}:1", "--intensity", "1.2", "--report", str(report)]
    assert main(["file", str(calm), str(out), *told]) == 0
    read = json.loads(report.read_text())
    (row,) = read["reference"]
    assert row["name"] == "happy"
    assert read["frames"]["calm.png"]["asked"]["happy"] == pytest.approx(
        1.2 * row["expression"]["happy"], abs=1e-4
    )
    assert np.abs(seen_face(read_picture(out).pixels).rig - seen_face(pictures()[1, 0]).rig)[
        sides("mouthSmile")
    ].min() > 0.1  # fmt: skip
    assert (
        main(["file", str(calm), str(out), "--reference", str(files[0]), "--emotion", "sad"]) == 2
    )
    assert "--reference says what is worn" in capsys.readouterr().err
    assert main(["file", str(calm), str(out), "--reference", "none.jpg"]) == 1
    assert "no such file: none.jpg; a reference is" in capsys.readouterr().err
