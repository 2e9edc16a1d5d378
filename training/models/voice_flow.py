"""EcoFace's motion generator: a VAE over rig sequences whose prior is a flow (eq. 8-10).

The encoder compresses four steps to one latent of sixteen numbers; the prior, coupling layers with
dilated convolutions and channels that are flipped, makes latents of noise, told content and
emotion; the decoder makes shapes of latents, told the same and a style. Prior and decoder never
look ahead and pad nothing, so that steps of 20 ms give what the whole recording gives.
Legend: B batch, T steps of 20 ms, J = T / 4 latents, F features of the audio backbone, E of the
emotion space, S of styles, D of the condition, Z of a latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.voice_rig import SHAPES, Hearing, VoiceRigSize, Window
from training.models.wave import WaveNet, behind

STRIDE: Final = 4


@dataclass(frozen=True, kw_only=True)
class VoiceFlowSize:
    """Of the audio backbone as VoiceRigSize has it. ``hidden`` channels of encoder and decoder,
    ``prior`` of the ``blocks`` of the flow, ``latent`` is Z, ``space`` E, ``styles`` S,
    ``speakers`` how many have a style of their own, ``components`` of the shapes."""

    width: int
    heads: int
    layers: int
    past: int
    hidden: int
    prior: int
    blocks: int
    latent: int
    space: int
    styles: int
    speakers: int
    components: int


class Sampled(NamedTuple):
    """A step's answer: ``rig`` [B, 52], and the ``state`` [B, S] of the next."""

    rig: Tensor
    state: Tensor


class Prior(nn.Module):
    """A flow between latents of a recording and noise, given a condition [B, D, J]."""

    def __init__(self, size: VoiceFlowSize, conditions: int) -> None:
        super().__init__()
        half = size.latent // 2
        self.enter = nn.ModuleList(nn.Conv1d(half, size.prior, 1) for _ in range(size.blocks))
        self.nets = nn.ModuleList(
            WaveNet(size.prior, conditions, (1, 2)) for _ in range(size.blocks)
        )
        self.leave = nn.ModuleList(nn.Conv1d(size.prior, half, 1) for _ in range(size.blocks))
        for leave in self.leave:
            assert isinstance(leave, nn.Conv1d) and leave.bias is not None
            nn.init.zeros_(leave.weight)
            nn.init.zeros_(leave.bias)
        self.each = 6
        """latents that a block looks back on"""
        self.past = size.blocks * self.each

    def to_noise(self, z_BZJ: Tensor, condition_BDJ: Tensor) -> Tensor:
        """What noise a recording's latents are made of; nothing comes before it."""
        condition = behind(condition_BDJ, self.each)
        for block in range(len(self.nets)):
            kept, moved = z_BZJ.chunk(2, dim=1)
            moved = moved - self._shift(block, behind(kept, self.each), condition)
            z_BZJ = torch.cat([kept, moved], dim=1).flip(1)
        return z_BZJ

    def from_noise(self, noise_BZJ: Tensor, condition_BDJ: Tensor) -> Tensor:
        """The latents of noise [B, Z, past + J] -> [B, Z, J]."""
        z = noise_BZJ
        for block in reversed(range(len(self.nets))):
            kept, moved = z.flip(1).chunk(2, dim=1)
            shift = self._shift(block, kept, condition_BDJ[:, :, -kept.shape[2] :])
            steps = shift.shape[2]
            z = torch.cat([kept[:, :, -steps:], moved[:, :, -steps:] + shift], dim=1)
        return z

    def _shift(self, block: int, kept: Tensor, condition: Tensor) -> Tensor:
        shift: Tensor = self.leave[block](self.nets[block](self.enter[block](kept), condition))
        return shift


class VoiceFlow(nn.Module):
    """sound [B, 320], emotion [B, E], style [B, S], state -> Sampled.

    The emotion is a place of the emotion space; the style is a speaker's, or a mixture of them."""

    components: Tensor
    middle: Tensor

    def __init__(self, size: VoiceFlowSize) -> None:
        super().__init__()
        self.size = size
        audio = VoiceRigSize(
            width=size.width, heads=size.heads, layers=size.layers, past=size.past,
            heard=1, channels=size.hidden, dilations=(1, 2, 4), components=1,
        )  # fmt: skip
        self.hearing = Hearing(audio)
        self.content = Window(self.hearing.features, size.hidden, audio.dilations)
        conditions = size.hidden + size.space
        self.enter = nn.Conv1d(SHAPES, size.hidden, STRIDE, stride=STRIDE)
        self.encode = WaveNet(size.hidden, conditions, (1, 2, 4))
        self.latent = nn.Conv1d(size.hidden, 2 * size.latent, 1)
        self.prior = Prior(size, conditions)
        self.widen = nn.Conv1d(STRIDE * size.latent, size.hidden, 1)
        self.decode = WaveNet(size.hidden, conditions + size.styles, (1, 2, 4))
        self.leave = nn.Conv1d(size.hidden, size.components, 1)
        self.styles = nn.Embedding(size.speakers, size.styles)
        nn.init.normal_(self.styles.weight, std=0.3)
        self.register_buffer("components", torch.zeros(size.components, SHAPES))
        self.register_buffer("middle", torch.zeros(SHAPES))
        features = self.hearing.features
        self._shapes = (
            (self.hearing.backbone.begin(1).shape[1],),
            (self.content.past, features),
            (self.prior.past, conditions),
            (self.decode.past, size.latent * STRIDE + conditions + size.styles),
            (size.latent,),
            (1,),
        )

    def condition(self, heard_BTF: Tensor, emotion_BTE: Tensor) -> Tensor:
        """Content and emotion [B, D, T] of what is heard [B, past + T, F]."""
        content = self.content(heard_BTF)
        return torch.cat([content, emotion_BTE.transpose(1, 2)], dim=1)

    def posterior(self, rig_BTK: Tensor, condition_BDT: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the deviation of each latent [B, Z, J] (eq. 8)."""
        x = F.gelu(self.enter((rig_BTK - self.middle).transpose(1, 2)))
        past = self.encode.past
        x = self.encode(behind(x, past), behind(condition_BDT[:, :, ::STRIDE], past))
        mean, log_deviation = self.latent(x).chunk(2, dim=1)
        return mean, log_deviation.clamp(-6, 2)

    def shapes(self, z_BZJ: Tensor, condition_BDT: Tensor, style_BS: Tensor) -> Tensor:
        """Shapes [B, T, 52] of latents, from the beginning of a recording on (eq. 10)."""
        style = style_BS[:, :, None].expand(-1, -1, condition_BDT.shape[2])
        phased = phases(z_BZJ.repeat_interleave(STRIDE, dim=2), 0)
        whole = behind(torch.cat([phased, condition_BDT, style], dim=1), self.decode.past)
        return self._decoded(whole)

    def _decoded(self, whole_BXT: Tensor) -> Tensor:
        """Shapes [B, T, 52] of phased latents, condition and style [B, X, past + T]."""
        size = STRIDE * self.size.latent
        x = self.decode(self.widen(whole_BXT[:, :size]), whole_BXT[:, size:])
        rig: Tensor = self.leave(F.gelu(x)).transpose(1, 2) @ self.components + self.middle
        return rig

    def generate(self, heard_BTF: Tensor, emotion_BTE: Tensor, style_BS: Tensor) -> Tensor:
        """Shapes [B, T, 52] of a recording from its beginning on: the likeliest, of no noise."""
        heard = F.pad(heard_BTF, (0, 0, self.content.past, 0))
        condition = self.condition(heard, emotion_BTE)
        at = behind(condition[:, :, ::STRIDE], self.prior.past)
        noise = at.new_zeros(len(at), self.size.latent, at.shape[2])
        z = self.prior.from_noise(noise, at)
        phased = phases(z.repeat_interleave(STRIDE, dim=2)[:, :, : condition.shape[2]], 0)
        style = style_BS[:, :, None].expand(-1, -1, condition.shape[2])
        return self._decoded(behind(torch.cat([phased, condition, style], dim=1), self.decode.past))

    def begin(self, batch: int) -> Tensor:
        """The state before the first step [B, S]."""
        sizes = sum(torch.Size(shape).numel() for shape in self._shapes)
        return self.middle.new_zeros(batch, sizes)

    def forward(
        self, sound_BN: Tensor, emotion_BE: Tensor, style_BS: Tensor, state_BS: Tensor
    ) -> Sampled:
        """One step, every fourth of which draws a latent."""
        backbone, past, condition_past, seen, z, phase = self._split(state_BS)
        heard, backbone = self.hearing(sound_BN, backbone)
        heard = torch.cat([past, heard], dim=1)
        condition = self.condition(heard, emotion_BE[:, None])  # [B, D, 1]
        first = (phase < 0.5).to(condition.dtype)  # [B, 1]
        window = torch.cat([condition_past, condition.transpose(1, 2)], dim=1).transpose(1, 2)
        noise = window.new_zeros(len(window), self.size.latent, window.shape[2])
        fresh = self.prior.from_noise(noise, window)[:, :, 0]
        z = first * fresh + (1 - first) * z
        condition_past = (
            first[:, :, None] * window[:, :, 1:].transpose(1, 2)
            + (1 - first[:, :, None]) * condition_past
        )
        hot = torch.cat([(phase - i).abs() < 0.5 for i in range(STRIDE)], dim=1).to(z.dtype)
        phased = (hot[:, :, None] * z[:, None]).flatten(1)
        now = torch.cat([phased, condition[:, :, 0], style_BS], dim=1)[:, None]
        seen = torch.cat([seen, now], dim=1)
        rig = self._decoded(seen.transpose(1, 2))[:, 0].clamp(0, 1)
        later = torch.where(phase > STRIDE - 1.5, torch.zeros_like(phase), phase + 1)
        parts = [backbone, heard[:, 1:], condition_past, seen[:, 1:], z, later]
        return Sampled(rig, torch.cat([part.flatten(1) for part in parts], dim=1))

    def _split(self, state_BS: Tensor) -> list[Tensor]:
        sizes = [torch.Size(shape).numel() for shape in self._shapes]
        parts = torch.split(state_BS, sizes, dim=1)
        return [
            part.reshape(len(part), *shape) for part, shape in zip(parts, self._shapes, strict=True)
        ]


def phases(z_BZT: Tensor, first: int) -> Tensor:
    """Each step's latent in the place of its phase [B, 4 Z, T], which makes of a 1x1 convolution
    a transposed one of stride 4."""
    steps = z_BZT.shape[2]
    phase = (torch.arange(steps, device=z_BZT.device) + first) % STRIDE
    hot = F.one_hot(phase, STRIDE).T.to(z_BZT.dtype)  # [4, T]
    return (hot[None, :, None] * z_BZT[:, None]).flatten(1, 2)
