"""EcoFace's parts: losses of the emotion space and the sync expert, a flow that turns back, a
generator that streams as it is offline."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from face.types import EMOTIONS
from tests.training.models.conftest import Made
from training.losses import emotion_space as space_losses
from training.losses import sync as sync_losses
from training.losses.voice import gaussian_kl
from training.models.emotion_space import NEUTRAL, EmotionSpace
from training.models.lip_sync import STEPS, LipSync, windows
from training.models.voice_flow import STRIDE, VoiceFlow, phases
from training.models.wave import WaveNet, behind
from training.recipes.emotion_space import EmotionSpaceRecipe
from training.recipes.lip_sync import LipSyncRecipe
from training.recipes.voice_flow import VoiceFlowRecipe
from training.restore import restore
from training.trainers.voice_flow import style_from

STEP = 320


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def flow() -> VoiceFlow:
    """A generator of which every part says something."""
    net = VoiceFlowRecipe.debug().build().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
        net.components.copy_(torch.rand_like(net.components) * 0.1)
        net.middle.fill_(0.3)
    return net


def spoken(steps: int) -> torch.Tensor:
    return torch.randn(1, steps * STEP) * torch.linspace(0, 9, steps * STEP).sin() * 0.2


def test_a_window_that_slides_answers_as_the_whole() -> None:
    net = WaveNet(4, 3, (1, 2)).eval()
    x, told = torch.randn(1, 4, 20), torch.randn(1, 3, 20)
    whole = net(x, told)
    assert whole.shape[2] == 20 - net.past
    part = net(x[:, :, 5 : 6 + net.past], told[:, :, 5 : 6 + net.past])
    assert torch.allclose(part[:, :, 0], whole[:, :, 5], atol=1e-6)


def test_generated_in_steps_is_generated_at_once() -> None:
    net, sound = flow(), spoken(23)
    emotion, style = torch.randn(1, net.size.space), torch.randn(1, net.size.styles)
    with torch.no_grad():
        heard, _ = net.hearing(sound, net.hearing.backbone.begin(1))
        every = emotion[:, None].expand(-1, 23, -1)
        offline = net.generate(heard, every, style).clamp(0, 1)
        state, out = net.begin(1), []
        for part in torch.split(sound, STEP, dim=1):
            rig, state = net(part, emotion, style, state)
            out.append(rig)
    assert offline.std(dim=1).max() > 1e-3
    assert torch.allclose(torch.stack(out, dim=1), offline, atol=1e-5)


def test_the_flow_turns_back_and_is_told_what_is_said() -> None:
    net = flow()
    prior, told = net.prior, torch.randn(1, net.size.hidden + net.size.space, 9)
    z = torch.randn(1, net.size.latent, 9)
    noise = prior.to_noise(z, told)
    assert not torch.allclose(noise, z)
    again, other = noise, torch.randn_like(told)
    with torch.no_grad():
        for block in reversed(range(len(prior.nets))):  # as from_noise, with nothing before
            kept, moved = again.flip(1).chunk(2, dim=1)
            shift = prior._shift(block, behind(kept, prior.each), behind(told, prior.each))
            again = torch.cat([kept, moved + shift], dim=1)
        assert torch.allclose(again, z, atol=1e-5)
        long = behind(torch.zeros(1, net.size.latent, 9), prior.past)
        first = prior.from_noise(long, behind(told, prior.past))
        second = prior.from_noise(long, behind(other, prior.past))
    assert first.shape == z.shape and not torch.allclose(first, second)


def test_latents_reach_the_steps_of_their_stride() -> None:
    z = torch.arange(6.0).reshape(1, 2, 3).repeat_interleave(STRIDE, dim=2)
    out = phases(z, 0)
    assert out.shape == (1, 2 * STRIDE, 12)
    assert out[0, :2, 4].tolist() == [1.0, 4.0] and not out[0, 2:, 4].any()
    assert out[0, 6:, 7].tolist() == [1.0, 4.0]


def test_a_posterior_that_is_the_prior_tells_nothing() -> None:
    noise = torch.randn(2, 4, 500)
    alike = gaussian_kl(noise, torch.zeros_like(noise), torch.zeros_like(noise), noise)
    assert float(alike) == pytest.approx(0, abs=1e-6)
    narrow = torch.full_like(noise, -2.3)
    assert gaussian_kl(noise * 0.1, torch.zeros_like(noise), narrow, noise / 10) > 1


def test_losses_of_the_space_are_least_where_emotions_lie_together() -> None:
    label = torch.tensor([0, 0, 1, 1])
    apart = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    mixed = apart[[0, 2, 1, 3]]
    assert space_losses.contrastive(apart, label) < space_losses.contrastive(mixed, label)
    assert space_losses.contrastive(apart, torch.full((4,), -1)) == 0
    z = torch.randn(2, 5, 3)
    assert space_losses.audio_visual(z, z, torch.ones(2)) == 0
    assert space_losses.emotion(z, z) == pytest.approx(0, abs=1e-6)
    level = torch.tensor([1, 1, 3, 3])
    same, far = torch.zeros(4, dtype=torch.long), torch.tensor([[0.0], [0], [2], [2]])
    assert space_losses.triplet(far, same, level, 0.5) == 0
    assert space_losses.triplet(torch.zeros(4, 1), same, level, 0.5) == pytest.approx(0.5)
    assert space_losses.triplet(torch.zeros(4, 1), same, torch.zeros(4), 0.5) == 0


def test_places_lie_between_neutral_and_an_emotion() -> None:
    space = EmotionSpaceRecipe.debug().build()
    label = torch.tensor([NEUTRAL, 1])
    z = torch.nn.functional.normalize(torch.randn(2, space.size.space), dim=1)
    space.remember(z, label)
    shares = torch.eye(len(EMOTIONS))[[1, 1]]
    places = space.place(shares, torch.tensor([1.0, 0.5]))
    assert torch.allclose(places[0], z[1]) and torch.allclose(places[1], (z[0] + z[1]) / 2)


def test_the_expert_learns_who_goes_with_whom() -> None:
    expert = LipSyncRecipe.debug().build()
    heard, rig = torch.randn(8, STEPS, expert.size.features), torch.rand(8, STEPS, 52)
    expert.settle(heard.flatten(0, 1), rig.flatten(0, 1))
    together = (torch.arange(8) % 2).float()
    optimizer = torch.optim.Adam(expert.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        places = expert(heard, rig)
        loss = sync_losses.sync(places[0], places[1], together)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    place = torch.nn.functional.normalize(torch.randn(3, 4), dim=1)
    assert sync_losses.convinced(place, place) == pytest.approx(0, abs=1e-6)
    assert windows(torch.rand(2, 20, 3)).shape == (6, STEPS, 3)


def test_a_new_speakers_style_is_found_in_their_talk() -> None:
    net = flow()
    heard, emotion = torch.randn(1, 20, net.hearing.features), torch.zeros(1, 20, net.size.space)
    own = torch.randn(1, net.size.styles)
    with torch.no_grad():
        rig = net.generate(heard, emotion, own)
        usual = net.generate(heard, emotion, net.styles.weight.mean(dim=0, keepdim=True))
    found = style_from(net, heard, emotion, rig, torch.ones_like(rig))
    with torch.no_grad():
        styled = net.generate(heard, emotion, found)
    assert (styled - rig).square().mean() < 0.3 * (usual - rig).square().mean()


def test_what_was_trained_is_restored(made: Made) -> None:
    assert isinstance(restore(made.runs / "voice_flow", "voice_flow", VoiceFlow), VoiceFlow)
    assert restore(made.runs / "emotion_space", "emotion_space", EmotionSpace).places.any()
    assert isinstance(restore(made.runs / "lip_sync", "lip_sync", LipSync), LipSync)
