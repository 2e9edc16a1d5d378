"""Edits by reference are learned: directions that ignore the mouth, strict pairs, both kinds of
training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from numpy.typing import NDArray

from engine.errors import MienError
from engine.types import F32
from face.emotions import prototype
from face.reference import DRAWN, Reference
from face.reference_network import UNREAD, ReferenceNetwork
from face.types import BLENDSHAPES, EMOTIONS
from tests.training.models.conftest import Made
from training.data.clip import Phone
from training.data.heads.acting import script_of, style_of
from training.data.pairs import Pairs, main
from training.directions import emotion_directions, mean_directions, speech_basis
from training.models.celcl import Celcl, CelclSize
from training.models.intensity import READING
from training.models.latent import centred_logits, packed
from training.models.stylegan2 import StyleGAN2
from training.recipes.reference import ReferenceRecipe
from training.restore import restored
from training.trainers.reference import ReferenceTrainer

SIZE = CelclSize(features=16, heads=4, hidden=16, layers=2, latent=8)
FELT = ("neutral", "happy", "angry", "sad")


def heads(rng: np.random.Generator, people: int) -> tuple[F32, NDArray[np.int64], list[int]]:
    """Shapes [M, 52] of drawn heads that speak in each emotion, its label [M], and whose each is:
    the mouth of a moment says the same in all of them."""
    phones = [Phone(name=n, start_s=0.1 * i, end_s=0.1 * i + 0.1) for i, n in enumerate(
        ["AA", "M", "UW", "SH", "EH", "P", "AO", "F"]
    )]  # fmt: skip
    shapes, labels, whose = [], [], []
    for person in range(people):
        script = script_of(phones, 20, style_of(rng), rng)
        for emotion in FELT:
            strength = rng.uniform(0.4, 1)
            rig = script.speech + strength * prototype(emotion)
            shapes.append(np.clip(rig + rng.normal(0, 0.03, rig.shape), 0, 1))
            labels += [EMOTIONS.index(emotion)] * len(rig)
            whose += [person] * len(rig)
    return np.concatenate(shapes).astype(np.float32), np.array(labels, np.int64), whose


def codes_of(shapes: F32) -> F32:
    """Latents of heads of which nothing is known but their shapes."""
    unread = centred_logits(torch.zeros(len(shapes), READING))
    return packed(torch.from_numpy(shapes), unread, torch.zeros(len(shapes), 8)).numpy()


def test_one_emotion_lies_on_one_side_whatever_the_mouth_says() -> None:
    rng = np.random.default_rng(0)
    shapes, labels, whose = heads(rng, 8)
    codes = codes_of(shapes)
    calm = labels == 0
    speech = speech_basis(codes[calm], [one for one, c in zip(whose, calm, strict=True) if c])
    normals = emotion_directions(codes, labels, speech)
    assert set(normals) == {EMOTIONS.index(name) for name in FELT[1:]}
    others, truth, of = heads(rng, 3)
    asked = codes_of(others)
    jaw = BLENDSHAPES.index("jawOpen")
    for emotion, normal in normals.items():
        assert np.linalg.norm(normal) == pytest.approx(1, abs=1e-5)
        assert np.abs(speech @ normal.ravel()).max() < 1e-4
        middle = np.mean([np.tensordot(codes, normal, 2)[labels == e].mean() for e in (0, emotion)])
        far = np.tensordot(asked, normal, 2) > middle
        for person in range(3):
            chosen = np.array(of) == person
            assert far[chosen & (truth == emotion)].mean() > 0.9
            assert far[chosen & (truth == 0)].mean() < 0.1
        felt = truth == emotion
        assert others[felt, jaw].std() > 0.03  # the mouths do differ
        along = np.tensordot(asked, normal, 2)[felt]
        assert abs(np.corrcoef(along, others[felt, jaw])[0, 1]) < 0.3


def test_means_lead_from_calm_to_an_emotion_whatever_the_mouth_says() -> None:
    shapes, labels, whose = heads(np.random.default_rng(0), 8)
    codes, calm = codes_of(shapes), labels == 0
    speech = speech_basis(codes[calm], [one for one, c in zip(whose, calm, strict=True) if c])
    for emotion, way in mean_directions(codes, labels, speech).items():
        assert np.linalg.norm(way) == pytest.approx(1, abs=1e-5)
        assert np.abs(speech @ way.ravel()).max() < 1e-4
        far = np.tensordot(codes - codes[calm].mean(axis=0), way, 2)
        assert far[labels == emotion].min() > far[calm].max()


def test_a_face_that_speaks_is_all_that_speech_takes_out() -> None:
    codes = np.zeros((4, 11, 8), np.float32)
    codes[1, 4, 2] = codes[3, 4, 2] = 0.7
    codes[2:, 0] = 5.0  # another head
    basis = speech_basis(codes, [0, 0, 1, 1])
    assert basis.shape == (1, 88) and abs(basis[0, 4 * 8 + 2]) == pytest.approx(1)
    with pytest.raises(MienError, match="too few"):
        emotion_directions(codes, np.ones(4, np.int64), basis)


def test_the_references_emotion_is_attended_to() -> None:
    """The code is another for another reference, and the tokens of both have their places."""
    torch.manual_seed(0)
    module = Celcl(SIZE)
    source, reference = torch.randn(2, 1, 11, 8).unbind(0)
    code = module(source, reference)
    assert code.shape == (1, 11, 8)
    assert not torch.allclose(code, module(source, reference + 1), atol=1e-7)
    assert not torch.allclose(code, module(source, reference.flip(1)), atol=1e-7)


def test_attention_is_torchs_own() -> None:
    torch.manual_seed(0)
    own = Celcl(SIZE).attention
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        layers = (own.query, own.key, own.value)
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
        theirs.out_proj.load_state_dict(own.out.state_dict())
    source, reference = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    wanted = theirs(source, reference, reference)[0]
    assert torch.allclose(own(source, reference), wanted, atol=1e-6)


def test_codes_are_learned_in_stylegans_space_too() -> None:
    """The same CELCL and the same eq. 12 upon a StyleGAN2: a few steps lower the loss."""
    torch.manual_seed(0)
    generator = StyleGAN2((8, 6), 12)
    module = Celcl(SIZE, tokens=generator.layers, width=12)
    source, reference = torch.randn(2, 2, generator.layers, 12).unbind(0)
    target = generator(source + 0.5 * torch.ones(12) / 12**0.5).detach()
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)

    def off() -> torch.Tensor:
        made: torch.Tensor = generator(source + module(source, reference))
        loss: torch.Tensor = (made - target).square().mean()
        return loss

    before = float(off().detach())
    for _ in range(5):
        loss = off()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert float(off().detach()) < 0.9 * before


def trainer_of(made: Made, synthetic: float) -> ReferenceTrainer:
    debug = ReferenceRecipe.debug()
    recipe = replace(debug, plan=replace(debug.plan, synthetic=synthetic, unread=0.0))
    runs = {name: made.runs / name for name in ("visual", "inversion")}
    return ReferenceTrainer(recipe, made.data, runs)


def test_strict_pairs_are_compared_and_real_ones_arent(made: Made) -> None:
    for synthetic, wanted in ((1.0, 1), (0.0, 0)):
        trainer = trainer_of(made, synthetic)
        drawn_batch = trainer.draw(np.random.default_rng(0), 1)
        batch = {name: torch.from_numpy(value) for name, value in drawn_batch.items()}
        assert (batch["strict"] == wanted).all()
        torch.manual_seed(0)
        turns = trainer.losses(batch, 1)
        assert next(turns)[0] == "critic"
        group, parts, _ = next(turns)
        assert group == "reference"
        supervised, adversarial = (float(parts[n].detach()) for n in ("supervised", "adversarial"))
        assert (supervised > 0) == bool(wanted) and adversarial > 0
        kept = [n for n, p in trainer.modules["reference"].named_parameters() if p.requires_grad]
        assert kept and not any(name.startswith("encoder") for name in kept)


def test_at_first_the_pairs_latents_teach_alone(made: Made) -> None:
    trainer = trainer_of(made, 1.0)
    drawn_batch = trainer.draw(np.random.default_rng(0), 0)
    batch = {name: torch.from_numpy(value) for name, value in drawn_batch.items()}
    assert "picture" not in batch and len(batch["source"]) == trainer.plan.codes
    (_, nothing, _), (group, parts, _) = trainer.losses(batch, 0)
    assert group == "reference" and set(parts) == {"latent", "contrastive"}
    assert float(parts["latent"].detach()) > 0 == float(nothing["discriminator"].detach())


def test_a_face_goes_as_far_as_its_reference_and_loses_what_it_felt(made: Made) -> None:
    trainer = trainer_of(made, 1.0)
    looks, count = trainer.looks, len(BLENDSHAPES)
    assert looks.by_emotion.keys() - {0} and not trainer.ways[0].any()
    for emotion, places in looks.by_emotion.items():
        if not trainer.ways[emotion].any():
            continue
        amounts = trainer.ways[emotion, count:]
        assert np.flatnonzero(amounts).tolist() == [emotion]
        assert (trainer.far[places] * amounts[emotion]).mean() == pytest.approx(1, abs=1e-3)
    rows = [trainer._along(np.random.default_rng(seed)) for seed in range(20)]
    for row in filter(None, rows):
        amounts, label = row["change"][count:], int(row["label"])
        assert amounts[label] >= 0
        assert (np.delete(amounts, label) <= 0).all()


def test_a_pairs_target_is_the_base_in_the_emotion_that_both_references_feel(made: Made) -> None:
    trainer = trainer_of(made, 1.0)
    rng = np.random.default_rng(1)
    pairs = Pairs.load(made.data / "pairs.npz")
    for _ in range(10):
        row = trainer._strict(rng)
        if row is None:
            continue
        label = int(row["label"])
        if label:
            own = pairs.change[pairs.emotion == label]
            assert any(np.allclose(row["change"], change) for change in own)
        else:
            assert not row["change"].any()


def test_what_is_no_file_of_pairs_is_one_line(made: Made, tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"holds no pairs .*training\.data\.pairs"):
        Pairs.load(tmp_path / "none.npz")
    (tmp_path / "junk.npz").write_bytes(b"junk")
    with pytest.raises(MienError, match="holds no pairs"):
        Pairs.load(tmp_path / "junk.npz")


def test_pairs_that_cant_be_made_say_why(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Heads of flat colours, read by a network of three steps: nothing is seen in them."""
    command = [str(made.data), "--inversion", str(made.runs / "inversion"), "--every", "1"]
    command += ["--visual", str(made.runs / "visual"), "--count", "9", "--out"]
    assert main([*command, str(tmp_path / "pairs.npz")]) == 1
    said_so = capsys.readouterr().err
    assert "pairs, not 9" in said_so and "prepare more calm faces" in said_so
    assert not (tmp_path / "pairs.npz").exists()


def test_the_exported_network_says_what_a_face_is_to_wear(made: Made) -> None:
    rng = np.random.default_rng(0)
    source, shapes = rng.uniform(0, 1, (2, len(BLENDSHAPES))).astype(np.float32)
    read = Reference(
        shapes=shapes, probabilities=np.full(8, 0.125, np.float32), valence=0.1, arousal=0.2,
        intensity=0.3, expression=np.zeros(8, np.float32),
    )  # fmt: skip
    network = ReferenceNetwork(str(made.weights))
    worn = network(source, read)
    network.close()
    module = restored(ReferenceRecipe, made.runs / "reference")[1]
    reading = np.concatenate([read.probabilities, [0.1, 0.2, 0.3]]).astype(np.float32)
    rows = [torch.from_numpy(row)[None] for row in (source, UNREAD, shapes, reading)]
    expression = module(*rows)[0][0].numpy()
    assert np.allclose(worn.expression, DRAWN * expression, atol=1e-5)
    assert worn.beyond is read.beyond
    assert worn.shapes is read.shapes and worn.intensity == 0.3
