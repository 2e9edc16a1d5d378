"""The whole way from recordings to shards, with a face, a corrupt file and a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import MienError
from face.types import BLENDSHAPES
from inference.assets import FACE_LANDMARKER, locate
from media.mel import log_mel
from tests.training.data.made import write_video
from training.data.clip import FPS, open_clips
from training.data.prepare import main


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    skimage = pytest.importorskip("skimage", reason="its astronaut is the face of this test")
    try:
        locate(FACE_LANDMARKER)
    except MienError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("recordings")
    write_video(folder / "1001_DFA_HAP_XX.mp4", skimage.data.astronaut())
    write_video(folder / "1002_DFA_SAD_LO.mp4", np.full((256, 256, 3), 90, np.uint8))
    (folder / "1003_DFA_ANG_HI.mp4").write_bytes(b"no video at all")
    return folder


def test_recordings_become_shards(
    recordings: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["crema-d", str(recordings), str(tmp_path / "out"), "--processes", "1"]
    assert main(command) == 0
    (clip,) = open_clips(tmp_path / "out")
    assert (clip.info.subject, clip.info.emotion) == ("crema-d:1001", "happy")
    assert abs(len(clip) - FPS) <= 1 and clip.found.all()
    assert abs(len(clip.mel) - 4 * len(clip)) <= 8
    assert np.abs(log_mel(clip.samples) - clip.mel).mean() < 0.05
    # The eyes lie level, where the crop puts them, whatever the picture was.
    right, left = clip.landmarks[:, 33, :2].mean(axis=0), clip.landmarks[:, 263, :2].mean(axis=0)
    assert abs(right[1] - left[1]) < 6 and 70 < right[0] < left[0] < 186
    assert 80 < right[1] < 120 and 60 < left[0] - right[0] < 100
    assert clip.pose[0, 2, 3] < 0 and clip.frame(0).std() > 20
    problems = (tmp_path / "out" / "problems.txt").read_text().splitlines()
    assert len(problems) == 2 and any("no face" in line for line in problems)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("*.tar")}
    capfd.readouterr()
    assert main(command) == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert "are there already" in capfd.readouterr().out
    splits = (tmp_path / "out" / "splits.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in splits] == ["1001", "1002", "1003"]


def test_a_still_picture_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    skimage = pytest.importorskip("skimage", reason="its astronaut is the face of this test")
    cv2 = pytest.importorskip("cv2")
    try:
        locate(FACE_LANDMARKER)
    except MienError as error:
        pytest.skip(str(error))
    folder = tmp_path / "in"
    folder.mkdir()
    face = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(folder / "happiness_Eileen_1.jpg"), face)
    cv2.imwrite(str(folder / "anger_Nobody_1.jpg"), np.full((200, 200, 3), 90, np.uint8))
    (folder / "sadness_Broken_1.jpg").write_bytes(b"no picture at all")
    command = ["pictures", str(folder), str(tmp_path / "out"), "--processes", "1", "--val", "0"]
    assert main([*command, "--test", "0"]) == 0
    (clip,) = open_clips(tmp_path / "out")
    assert (clip.info.subject, clip.info.emotion) == ("pictures:eileen", "happy")
    assert len(clip) == 1 and clip.found.all() and not len(clip.mel)
    assert clip.info.split == "train" and clip.frame(0).std() > 20
    smile = [BLENDSHAPES.index(f"mouthSmile{side}") for side in ("Left", "Right")]
    assert clip.blendshapes[0, smile].min() > 0.5
    problems = (tmp_path / "out" / "problems.txt").read_text()
    assert "no face is seen" in problems and "is no picture that can be read" in problems


def test_what_a_user_gets_wrong_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mead", str(tmp_path / "gone"), str(tmp_path / "out")]) == 1
    assert "no such folder" in capsys.readouterr().err
