"""CDRL's representations: content that sound asks a picture for, emotion by learned priors."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np
import torch

from face.types import EMOTIONS
from tests.training.models.conftest import Made
from training.losses import decoupled
from training.models.content import STEPS, Content
from training.models.emotion_priors import PRIORS, EmotionPriors
from training.models.visual import VisualEncoder
from training.recipes.content import ContentRecipe
from training.recipes.emotion_priors import EmotionPriorsRecipe
from training.restore import restore
from training.trainers.content import APART, ContentTrainer
from training.trainers.emotion_priors import clearest
from training.trainers.face_features import FaceFeatures
from training.trainers.samples import Clips


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_what_is_kept_costs_nothing_and_what_is_opposite_most() -> None:
    x, y, z = torch.randn(3, 4, 6)
    assert float(decoupled.alike(x, 3 * x)) == pytest.approx(0, abs=1e-6)
    assert float(decoupled.alike(x, -x)) == pytest.approx(2, abs=1e-6)
    cosine = torch.nn.functional.cosine_similarity
    by_hand = (1 - cosine(x, y)).mean() + cosine(y, z).mean()
    assert float(decoupled.content(x, y, z)) == pytest.approx(float(by_hand), abs=1e-6)
    assert float(decoupled.content(x, x, -x)) == pytest.approx(-1, abs=1e-6)


def test_priors_are_lost_by_as_much_as_the_equation_says() -> None:
    correlation, tau = torch.rand(2, 3, 3) * 2 - 1, 0.5
    terms = [
        -math.log(
            math.exp(float(c[i, i]) / tau) / sum(math.exp(float(c[i, k]) / tau) for k in range(3))
        )
        for c in correlation
        for i in range(3)
    ]
    lost = decoupled.emotion_priors(correlation, tau)
    assert float(lost) == pytest.approx(sum(terms) / len(terms), abs=1e-5)
    assert float(decoupled.emotion_priors(torch.eye(3)[None], 0.01)) < 1e-6


def content(**changes: bool) -> Content:
    recipe = ContentRecipe.debug()
    return replace(recipe, size=replace(recipe.size, **changes)).build().eval()


@pytest.mark.parametrize("rigged", [False, True])
def test_sound_says_where_to_look_and_the_picture_alone_is_answered(rigged: bool) -> None:
    net = content(rigged=rigged)
    sounds = 9 * torch.randn(2, STEPS, net.size.features)
    seen = torch.rand(52) if rigged else torch.randn(net.trunk.channels[-1], 8, 8)
    seen = torch.stack([seen, seen])
    with torch.no_grad():
        query = net.ask(sounds)
        look = net.attention(seen, query)
        told = net.answer(seen, query)
        net.value.weight.zero_()  # the picture tells nothing any more
        same = net.answer(seen, query)
    assert torch.allclose(look.flatten(1).sum(dim=1), torch.ones(2), atol=1e-5)
    assert float((look[0] - look[1]).abs().max()) > 1e-5
    assert float((told[0] - told[1]).abs().max()) > 1e-5
    torch.testing.assert_close(same[0], same[1])


def test_who_hears_nothing_answers_every_sound_alike() -> None:
    net = content(hears=False)
    crop = torch.rand(1, 3, 64, 64).expand(2, -1, -1, -1)
    with torch.no_grad():
        told = net(crop, torch.randn(2, STEPS, net.size.features))
    torch.testing.assert_close(told[0], told[1])


@pytest.mark.parametrize("aware", [True, False])
def test_a_triplet_is_the_same_words_in_two_emotions_and_other_words(
    data: Path, aware: bool
) -> None:
    recipe = ContentRecipe.debug()
    plan = replace(recipe.plan, emotion_aware=aware, shared=0.0)
    trainer = ContentTrainer(replace(recipe, plan=plan), data)
    for place, one in enumerate(trainer.talk):  # what is seen tells which picture it is
        one.seen[:] = place
        one.seen[:, :, 0] += np.arange(len(one))[None, :, None, None] / 16
    rng, emotions = np.random.default_rng(0), set()
    for _ in range(60):
        row = trainer._triplet(rng)
        if row is None:
            continue
        (x, y, z), when = row["seen"][:, 1, 0, 0].astype(int), row["seen"][:, 0, 0, 0]
        infos = [trainer.talk[place].info for place in (x, y, z)]
        times = [round(float(16 * (t - place))) for t, place in zip(when, (x, y, z), strict=True)]
        assert len({info.subject for info in infos}) == 1
        assert infos[0].emotion != infos[1].emotion
        if infos[0].synthetic:
            assert abs(times[0] - times[1]) <= 2  # in step
        assert abs(times[1] - times[2]) >= APART
        emotions.add(infos[1].emotion == infos[2].emotion)
    assert emotions == ({True} if aware else {True, False})


def test_emotion_is_how_a_picture_goes_with_each_prior() -> None:
    net = EmotionPriorsRecipe.debug().build().eval()
    crop = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        told, priors = net(crop), net.priors()
        embedding = net.embedding(net.visual.backbone(crop))
    assert priors.shape == (len(PRIORS), net.size.features) and "contempt" not in PRIORS
    torch.testing.assert_close(priors.norm(dim=1), torch.ones(len(PRIORS)))
    torch.testing.assert_close(told, embedding @ priors.T)


def test_priors_that_ask_a_pictures_places_train_too(made: Made) -> None:
    recipe = EmotionPriorsRecipe.debug()
    recipe = replace(recipe, size=replace(recipe.size, attention=True))
    trainer = recipe.trainer(made.data, {"visual": made.runs / "visual"})
    batch = trainer.draw(np.random.default_rng(0), 0)
    tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
    [(_, parts, _)] = trainer.losses(tensors, 0)
    torch.autograd.backward(parts["priors"])
    net = trainer.modules["emotion_priors"]
    assert isinstance(net, EmotionPriors)
    for asks in (net.tokens, net.key.weight, net.value.weight):
        assert asks.grad is not None and float(asks.grad.abs().max()) > 0


def test_priors_are_learned_and_the_space_stays(made: Made) -> None:
    learned = restore(made.runs / "emotion_priors", "emotion_priors", EmotionPriors)
    visual = restore(made.runs / "visual", "visual", VisualEncoder)
    for name, value in visual.state_dict().items():
        torch.testing.assert_close(learned.visual.state_dict()[name], value)


def test_the_clearest_pictures_are_those_the_encoder_is_surest_about(made: Made) -> None:
    net = restore(made.runs / "emotion_priors", "emotion_priors", EmotionPriors)
    clips = Clips(made.data, "train", lambda info, frames: info.emotion in ("happy", "angry"))
    rows = {index: (4 * place, 1, 4) for place, index in enumerate(clips.chosen)}
    count = 4 * len(rows)
    known = np.zeros((count, 1), np.float32)
    backbone = torch.randn(count, net.visual.seen_scale.mean.numel()).numpy()
    features = FaceFeatures(backbone, known.repeat(52, 1), known, known, known, known, rows)
    happy = features.of([i for i in clips.chosen if clips.infos[i].emotion == "happy"])
    every = clearest(net, features, clips, "happy", 1.0)
    some = clearest(net, features, clips, "happy", 0.5)
    np.testing.assert_array_equal(np.sort(every), np.sort(happy))
    assert len(some) == len(every) // 2 and set(some) < set(every)
    with torch.no_grad():
        frame = net.visual.understand(torch.from_numpy(backbone), torch.zeros(count, 52))
        sure = net.visual.judge(frame, net.visual.begin(count)).emotion.softmax(dim=1)
    sure = sure[:, EMOTIONS.index("happy")]
    assert sure[some].min() >= sure[np.setdiff1d(every, some)].max()
    assert not len(clearest(net, features, clips, "sad", 0.5))
