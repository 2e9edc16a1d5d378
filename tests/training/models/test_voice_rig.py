"""The network from a voice to a face: streamed as offline, never later than it says, its losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from face.types import BLENDSHAPES
from face.voice.talking import LOOK_AHEAD_MS as LIVE_MS
from face.voice.talking import VoiceRig
from inference.model import Model
from tests.training.models.conftest import Made
from training.data.talk import JAW, STEP_SAMPLES
from training.losses import voice
from training.models.audio_backbone import AudioBackbone
from training.models.voice_rig import (
    LEVELS,
    LOOK_AHEAD_MS,
    LOOK_AHEAD_STEPS,
    VoiceRigNet,
    VoiceRigSize,
)
from training.recipes.voice_rig import VoiceRig as Recipe
from training.restore import restore
from training.trainers.talks import stills_of
from training.trainers.voice_rig import VoiceRigTrainer

SIZE = VoiceRigSize(
    width=16, heads=2, layers=2, past=6, heard=8, channels=8, dilations=(1, 2), components=4
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def spoken(steps: int) -> torch.Tensor:
    swell = torch.linspace(0, 9, steps * STEP_SAMPLES).sin() * 0.2
    return torch.randn(1, steps * STEP_SAMPLES) * swell


def in_steps(sound: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.split(sound, STEP_SAMPLES, dim=1)


def filled(size: VoiceRigSize = SIZE) -> VoiceRigNet:
    net = VoiceRigNet(size).eval()
    rig = torch.rand(40, 52) * 0.3
    net.settle(torch.randn(60, net.hearing.features), rig, torch.ones(52), torch.full((52,), 0.3))
    return net


def test_streamed_equals_offline() -> None:
    net, sound, out = filled(), spoken(20), []
    with torch.no_grad():
        offline = net.listen(sound)
        state = net.begin(1)
        for part in (*in_steps(sound), *torch.zeros(LOOK_AHEAD_STEPS, 1, 320)):
            moved = net(part, state)
            state = moved.state
            out.append(moved.rig)
    assert offline.std() > 1e-3
    assert torch.allclose(torch.stack(out[LOOK_AHEAD_STEPS:], 1), offline, atol=1e-5)


def test_what_is_heard_later_than_the_look_ahead_changes_nothing() -> None:
    net, sound = filled(), spoken(20)
    later = sound.clone()
    later[:, 12 * STEP_SAMPLES :] += 0.3
    with torch.no_grad():
        before, after = net.listen(sound), net.listen(later)
    first = 12 - LOOK_AHEAD_STEPS
    assert torch.allclose(before[:, :first], after[:, :first], atol=1e-6)
    assert not torch.allclose(before[:, first : first + 2], after[:, first : first + 2], atol=1e-4)
    assert LOOK_AHEAD_MS == LIVE_MS == 80


def test_the_exported_rig_in_steps_is_the_offline_network(made: Made) -> None:
    net = restore(made.runs / "voice_rig", "voice_rig", VoiceRigNet)
    model = Model(made.weights / "voice_rig", backend="onnxruntime", log=lambda line: None)
    sound = spoken(12)
    with torch.no_grad():
        offline = net.listen(sound)[0].numpy()
    rig = VoiceRig(model)
    quiet = [np.zeros(STEP_SAMPLES, np.float32)] * LOOK_AHEAD_STEPS
    parts = [*(part[0].numpy() for part in in_steps(sound)), *quiet]
    lively = [i for i, name in enumerate(BLENDSHAPES) if name.startswith(("jaw", "mouth", "brow"))]
    for _ in range(2):
        out = np.stack([rig.step(part) for part in parts])[LOOK_AHEAD_STEPS:]
        assert np.abs(out - offline)[:, lively].max() < 1e-4
        rig.reset()
    model.close()


def test_the_last_layers_are_heard_in_components_of_mean_0_and_deviation_1() -> None:
    net = VoiceRigNet(replace(SIZE, layers=3)).eval()
    sound, state = spoken(5), net.hearing.backbone.begin(1)
    heard, _ = net.hearing(sound, state)
    layers, _ = net.hearing.backbone(sound, state)
    assert torch.equal(heard[..., :-LEVELS], layers[..., -2 * SIZE.width :])
    rows = torch.randn(400, net.hearing.features) @ torch.randn(2 * (net.hearing.features,)) + 3
    net.settle(rows, torch.rand(40, 52), torch.ones(52), torch.full((52,), 0.3))
    parts = net.heard(rows[None])[0]
    assert parts.shape == (400, SIZE.heard) and parts.mean(0).abs().max() < 1e-3
    assert torch.allclose(parts.T.cov(), torch.eye(SIZE.heard), atol=1e-2)


def test_an_ear_may_step_by_20_ms() -> None:
    backbone = AudioBackbone(16, 2, 1, 8, STEP_SAMPLES)
    sound, state = spoken(10), backbone.begin(1)
    whole, _ = backbone(sound, state)
    out = []
    for part in in_steps(sound):
        heard, state = backbone(part, state)
        out.append(heard)
    assert whole.shape == (1, 10, 16) and torch.allclose(torch.cat(out, 1), whole, atol=1e-5)


def test_losses_are_nothing_where_nothing_differs() -> None:
    rig, weight = torch.rand(2, 6, 52), torch.ones(2, 6, 52)
    assert voice.shapes(rig, rig, weight) == 0 and voice.motion(rig, rig, weight) == 0
    assert voice.lips(rig, rig, weight[:, :, 0]) == 0


def test_a_constant_error_is_no_error_of_motion_and_what_is_unknown_doesnt_count() -> None:
    rig, weight = torch.rand(1, 6, 52), torch.ones(1, 6, 52)
    assert voice.motion(rig + 0.2, rig, weight) < 1e-10 < voice.shapes(rig + 0.2, rig, weight)
    off = rig.clone()
    off[:, 3] += 1
    weight[:, 3] = 0
    assert voice.shapes(off, rig, weight) == 0 and voice.motion(off, rig, weight) == 0


def test_closed_lips_that_are_drawn_open_cost_most() -> None:
    closed, open_ = torch.zeros(1, 4, 52), torch.zeros(1, 4, 52)
    open_[..., JAW] = 0.2
    known = torch.ones(1, 4)
    wider = open_ * 2
    assert voice.lips(open_, closed, known) == pytest.approx(
        4 * float(voice.lips(wider, open_, known))
    )


def test_when_lips_open_counts_however_widely() -> None:
    truth, known = torch.rand(2, 40), torch.ones(2, 40)
    assert voice.out_of_step(3 * truth + 1, truth, known) == pytest.approx(0, abs=1e-3)
    assert voice.out_of_step(-truth, truth, known) == pytest.approx(2, abs=1e-3)
    assert voice.out_of_step(truth.roll(1, 1), truth, known) > 0.5
    unknown = known.clone()
    unknown[:, 20:] = 0
    half = torch.cat([truth[:, :20], -truth[:, 20:]], 1)
    assert voice.out_of_step(half, truth, unknown) == 0  # too little is known
    unknown[:, 20:30] = 1
    half[:, 20:30] = truth[:, 20:30]
    assert voice.out_of_step(half, truth, unknown) == pytest.approx(0, abs=1e-3)
    still = torch.full((2, 40), 0.3).requires_grad_()
    loss = voice.out_of_step(still, torch.zeros(2, 40), known)
    (slope,) = torch.autograd.grad(loss, still)
    assert loss == 0 and slope.abs().sum() == 0


def test_nobody_speaks_in_what_is_still() -> None:
    for talk in stills_of(5):
        assert len(talk.sound) == len(talk) * STEP_SAMPLES and not talk.rig.any()
        assert np.isfinite(talk.sound).all() and np.abs(talk.sound).max() <= 1


def test_what_is_left_out_isnt_learned_from(data: Path) -> None:
    recipe = Recipe.debug()
    trainer = VoiceRigTrainer(recipe, data)
    some = trainer.talks.speakers[0]
    less = replace(recipe, plan=replace(recipe.plan, left_out=(some,)))
    others = VoiceRigTrainer(less, data).talks.speakers
    assert some not in others and {some, *others} == set(trainer.talks.speakers)
