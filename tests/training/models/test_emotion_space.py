"""The emotion space sees: crops lie with their rigs and voices, and so distances of pictures can be
told, with what they are worth."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from engine.errors import MienError
from tests.training.made_clips import made_clips, still, voice
from tests.training.models.conftest import Made
from training import checkpoint
from training.data.clip import ClipInfo, Phone, open_clips, write_shard
from training.evaluate import main as evaluate
from training.evaluation import watched
from training.evaluation.space import nearer, together
from training.evaluation.watched import Place, Watcher
from training.models.emotion_space import EmotionSpace
from training.recipes.emotion_space import EmotionSpaceRecipe
from training.restore import restore
from training.train import main as train


def places(emotion: str, around: float, people: int, each: int = 4, seed: int = 0) -> list[Place]:
    """Of some people, about one point of a plane."""
    rng = np.random.default_rng([seed, *emotion.encode()])
    return [
        Place(
            ClipInfo(key=f"{emotion}-{who}-{number}", subject=f"p{who}", emotion=emotion),
            rng.normal([around, 0], 0.2).astype(np.float32),
        )
        for who in range(people)
        for number in range(each)
    ]


def test_a_still_lies_where_it_would_if_it_were_held() -> None:
    torch.manual_seed(0)
    space = EmotionSpaceRecipe.debug().build().eval()
    seen = torch.randn(1, 1, space.eyes().seen)
    with torch.no_grad():
        once, held = space.crop(seen), space.crop(seen.expand(-1, 9, -1))
    assert once.shape == (1, 2, space.size.space) and held.shape[1] == 18
    assert torch.allclose(once[:, :1].expand_as(held), held, atol=1e-5)
    assert torch.allclose(held.norm(dim=2), torch.ones(1, 18))


def test_a_crop_is_brought_to_its_rig_and_its_voice(made: Made) -> None:
    recipe = EmotionSpaceRecipe.debug()
    trainer = recipe.trainer(made.data, {})
    (space,) = trainer.modules.values()
    batch = trainer.draw(np.random.default_rng(0), 0)
    assert batch["seen"].shape[:2] == (4, 3) and batch["shown"].shape == (4, 6, 52)
    assert batch["speaks"].all() and batch["said"].any() and batch["shown"].any()
    tensors = {name: torch.from_numpy(values) for name, values in batch.items()}
    space.eval()

    def off() -> torch.Tensor:
        ((_, parts, _),) = trainer.losses(tensors, 0)
        return parts["audio_visual"]

    optimizer = torch.optim.Adam(space.crop.parameters(), lr=1e-2)  # type: ignore[union-attr]
    before = float(off().detach())
    for _ in range(30):
        optimizer.zero_grad()
        off().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(off().detach()) < 0.8 * before


def test_what_sees_no_training_changes(made: Made) -> None:
    state = checkpoint.load(made.runs / "emotion_space")
    first, later = (state[part]["emotion_space"] for part in ("modules", "ema"))
    same = [torch.equal(first[name], later[name]) for name in first if name.startswith("backbone")]
    assert len(same) > 50 and all(same)
    assert not torch.equal(first["crop.leave.weight"], later["crop.leave.weight"])


def test_a_space_of_rigs_and_voices_alone_says_so(made: Made, tmp_path: Path) -> None:
    """As every one of an older version is."""
    blind = replace(EmotionSpaceRecipe.debug().size, parts=0, crop_px=0)
    space = EmotionSpace(blind)
    size = {name: value for name, value in asdict(blind).items() if value}
    assert "parts" not in size
    state = checkpoint.load(made.runs / "emotion_space")
    state |= {"size": size, "ema": {"emotion_space": space.state_dict()}}
    checkpoint.save(tmp_path, state)
    old = restore(tmp_path, "emotion_space", EmotionSpace)
    assert old(torch.rand(1, 8, 52)).shape == (1, blind.space)
    with pytest.raises(MienError, match=r"never learned from crops.*train it anew"):
        Watcher(old)


def test_a_run_tells_of_its_stills_and_leaves_people_out(
    tmp_path: Path,
) -> None:
    photograph = still("still", "three", "happy")
    bound = replace(photograph, info=replace(photograph.info, licence="CC-BY-NC-4.0", nc="yes"))
    write_shard(tmp_path / "a.tar", [*made_clips(), bound])
    trainer = EmotionSpaceRecipe.debug().trainer(tmp_path, {})
    (told,) = trainer.learned_from().values()
    assert told["people"] == ["one", "three", "two"] and told["nc"] == "yes"
    recipe = EmotionSpaceRecipe.debug()
    recipe = replace(recipe, plan=replace(recipe.plan, left_out=("three",)))
    shown = recipe.trainer(tmp_path, {}).seen
    assert {shown.infos[index].subject for index in shown.chosen} == {"one", "two"}


def test_without_pictures_one_line_tells_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoken = tuple(Phone(name="AA", start_s=n * 0.03, end_s=n * 0.03 + 0.03) for n in range(9))
    heard = [replace(voice(name, emotion=name), phones=spoken) for name in ("happy", "sad")]
    write_shard(tmp_path / "a.tar", heard)
    told = ["emotion_space", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    assert train(told) == 1
    error = capsys.readouterr().err
    assert "has no pictures" in error and "--size.parts 0" in error and error.count("\n") == 1
    assert train([*told, "--size.parts", "0"]) == 0


def test_a_space_is_judged_on_people_held_out(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [*made_clips(), still("still", "three", "happy")]
    clips = [replace(clip, info=replace(clip.info, split="val")) for clip in clips]
    write_shard(tmp_path / "a.tar", clips)
    told = ["space", str(tmp_path), "--space", str(made.runs / "emotion_space")]
    assert evaluate([*told, "--pictures", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "synthetic heads, crop", "synthetic heads, rig", "synthetic heads, crop to its own rig",
        "real people, crop", "real people, rig", "real people, crop to its own rig",
    ]  # fmt: skip
    assert lines[3].endswith("11 of 4 people") and "to another's" in lines[5]
    for wrong, line in (
        (["--split", "tests"], "a split is one of train, val, test, not tests"),
        (["--pictures", "0"], "--pictures is at least 1"),
        (["--split", "test"], "shows and says nothing in test"),
    ):
        assert evaluate([*told, *wrong]) in (1, 2)
        assert line in capsys.readouterr().err


def test_alike_is_nearer_and_ones_own_too() -> None:
    happy, sad = places("happy", 1, 3), places("sad", -1, 3)
    every = [*happy, *sad]
    assert np.mean([share for _, share in nearer(every, every)]) == pytest.approx(1)
    mixed = [*places("happy", 0, 20), *places("sad", 0, 20)]
    assert np.mean([share for _, share in nearer(mixed, mixed)]) == pytest.approx(0.5, abs=0.05)
    assert {name for name, _ in nearer(every, every, "happy")} == {"p0", "p1", "p2"}
    own = {"crop": happy, "rig": happy}
    assert together(own, "crop", "rig").startswith("1.00 (1.00 to 1.00)")


def test_ve_fid_of_pictures_is_named_and_has_its_interval() -> None:
    calm, felt = places("neutral", 0, 8), places("happy", 1, 8)
    near, far = (float(watched.apart(calm, other).split()[0]) for other in (calm[::2], felt))
    assert near < 10 < 60 < far
    assert watched.apart(calm, felt[:5]) == "-"
    table = watched.as_text({"drawn": places("", 1, 8, seed=1)}, [*calm, *felt]).splitlines()
    assert table[0] == ("| VE-FID of pictures | calm: 32 of 8 people | emotional: 32 of 8 people |")
    to_calm, to_felt = (float(cell.split()[0]) for cell in table[2].split("|")[2:4])
    assert to_felt < to_calm / 5
    assert " ± " in table[2] and [line.split("|")[1].strip()[:5] for line in table[3:]] == [
        "real,", "real,"
    ]  # fmt: skip


def test_a_clip_is_watched_as_far_as_its_face_is_seen(made: Made) -> None:
    watcher = Watcher(restore(made.runs / "emotion_space", "emotion_space", EmotionSpace))
    clip = next(iter(open_clips(made.data)))
    seen = replace(clip, found=np.arange(6) != 4)
    found = list(watcher.places(seen, 2))
    assert [one.first for one in found] == [0, 2] and found[0].place.shape == (4,)
    assert not np.allclose(found[0].place, found[1].place)
