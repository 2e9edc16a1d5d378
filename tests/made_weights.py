"""Networks of a few numbers that do what a test can foresee, as weights with cards; no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from face.emotions import FEELING, prototype
from face.render.detail import COLUMNS, ROWS
from face.types import EMOTIONS

SIDE_PX = 40
"""side of what the made face encoder looks at"""
STATE = 3

_Network = tuple[dict[str, Any], dict[str, Any], dict[str, str]]
"""inputs, outputs, state"""


def make_weights(folder: Path, *names: str, brighter: float = 0.2) -> Path:
    """All five networks, or those named.

    visual: the likeliest emotion is that whose shapes the rig has, valence the mean of the crop;
    state counts steps.
    speech: happy where the sound is low (below 850 Hz) or silent, angry where it is high; arousal
    counts the steps so far in hundredths.
    activity: somebody speaks where there is sound.
    intensity: the mean of those present. skin: ``brighter`` by so much, everywhere.
    """
    makers: dict[str, Callable[[], _Network]] = {
        "visual": _visual,
        "speech": _speech,
        "activity": _activity,
        "intensity": _intensity,
        "skin": lambda: _skin(brighter),
    }
    for name in names or makers:
        _write(folder / name, name, *makers[name]())
    return folder


def _ops() -> Any:
    import openvino.opset13 as ops

    return ops


def _given(**shapes: tuple[int, ...]) -> dict[str, Any]:
    ops = _ops()
    return {name: ops.parameter(list(shape), np.float32, name) for name, shape in shapes.items()}


def _const(value: Any) -> Any:
    return _ops().constant(np.asarray(value, np.float32))


def _reshaped(node: Any, *shape: int) -> Any:
    return _ops().reshape(node, np.array(shape, np.int64), False)


def _mean(node: Any) -> Any:
    """Over everything but the batch: [1, 1]."""
    ops = _ops()
    flat = _reshaped(node, 1, -1)
    return ops.reduce_mean(flat, np.array([1], np.int64), True)


def _visual() -> _Network:
    ops = _ops()
    given = _given(crop=(1, 3, SIDE_PX, SIDE_PX), rig=(1, 52), state=(1, STATE))
    worn = np.stack([prototype(name) for name in EMOTIONS], axis=1)
    lengths = np.maximum(np.linalg.norm(worn, axis=0), 1e-6)
    liking = 8 * worn / lengths - 4 * (FEELING[:, None] & (worn == 0)) * (lengths > 1e-3)
    bias = np.zeros(8, np.float32)
    bias[0] = 1.5
    logits = ops.add(ops.matmul(given["rig"], _const(liking), False, False), _const(bias[None]))
    later = ops.add(given["state"], _const(np.ones((1, STATE))))
    bright = ops.subtract(_mean(given["crop"]), _const([[0.5]]))
    outputs = {
        "embedding": ops.multiply(later, _const([[1.0]])),
        "emotion": logits,
        "valence_arousal": ops.concat([bright, ops.multiply(_mean(later), _const([[0.01]]))], 1),
        "intensity": ops.clamp(ops.multiply(_mean(given["rig"]), _const([[5.0]])), 0.0, 1.0),
        "state_next": later,
    }
    return given, outputs, {"state": "state_next"}


def _speech() -> _Network:
    ops = _ops()
    given = _given(sound=(1, 640), state=(1, STATE))
    next_less_this = _const(np.eye(640, 639, -1) - np.eye(640, 639))
    change = ops.matmul(given["sound"], next_less_this, False, False)
    steep = ops.multiply(_mean(ops.absolute(change)), _const([[3.0]]))
    loud = _mean(ops.absolute(given["sound"]))
    lower = ops.multiply(ops.subtract(loud, steep), _const([[40.0]]))
    lower = ops.add(lower, _const([[0.4]]))
    sides = np.zeros((1, 8), np.float32)
    sides[0, EMOTIONS.index("happy")], sides[0, EMOTIONS.index("angry")] = 4, -4
    later = ops.add(given["state"], _const(np.ones((1, STATE))))
    counted = ops.multiply(_mean(later), _const([[0.01]]))
    outputs = {
        "embedding": ops.multiply(later, _const([[1.0]])),
        "emotion": ops.multiply(ops.clamp(lower, -2.0, 2.0), _const(sides)),
        "valence_arousal": ops.concat([ops.multiply(counted, _const([[0.0]])), counted], 1),
        "intensity": ops.add(ops.multiply(counted, _const([[0.0]])), _const([[0.8]])),
        "state_next": later,
    }
    return given, outputs, {"state": "state_next"}


def _activity() -> _Network:
    ops = _ops()
    given = _given(sound=(1, 576), state=(1, STATE))
    loud = ops.multiply(_mean(ops.absolute(given["sound"])), _const([[1000.0]]))
    outputs = {
        "spoken": ops.clamp(loud, 0.0, 1.0),
        "state_next": ops.add(given["state"], _const(np.ones((1, STATE)))),
    }
    return given, outputs, {"state": "state_next"}


def _intensity() -> _Network:
    ops = _ops()
    given = _given(face=(1, 11), voice=(1, 11), present=(1, 2), state=(1, STATE))
    there = [
        ops.matmul(given["present"], _const([[1.0], [0.0]]), False, False),
        ops.matmul(given["present"], _const([[0.0], [1.0]]), False, False),
    ]
    total = ops.add(ops.add(there[0], there[1]), _const([[1e-6]]))
    both = ops.add(ops.multiply(given["face"], there[0]), ops.multiply(given["voice"], there[1]))
    mean = ops.divide(both, total)
    pick = np.eye(11, dtype=np.float32)
    shares = ops.matmul(mean, _const(pick[:, :8]), False, False)
    outputs = {
        "emotion": ops.log(ops.add(shares, _const([[1e-4]]))),
        "valence_arousal": ops.matmul(mean, _const(pick[:, 8:10]), False, False),
        "intensity": ops.matmul(mean, _const(pick[:, 10:]), False, False),
        "state_next": ops.add(given["state"], _const(np.ones((1, STATE)))),
    }
    return given, outputs, {"state": "state_next"}


def _skin(brighter: float) -> _Network:
    ops = _ops()
    given = _given(
        detail=(1, 1, ROWS, COLUMNS), displacement=(1, 3, ROWS, COLUMNS),
        places=(1, 3, ROWS, COLUMNS), rig=(1, 52), emotion=(1, 8),
    )  # fmt: skip
    told = ["displacement", "places", "rig", "emotion"]
    total = ops.multiply(_mean(given["detail"]), _const([[0.0]]))
    for name in told:
        total = ops.add(total, ops.multiply(_mean(given[name]), _const([[0.0]])))
    change = ops.add(_reshaped(total, 1, 1, 1, 1), _const([[[[brighter]]]]))
    nothing = ops.multiply(given["detail"], _const([[[[0.0]]]]))
    return given, {"change": ops.add(nothing, change)}, {}


def _write(
    folder: Path, name: str, inputs: dict[str, Any], outputs: dict[str, Any], state: dict[str, str]
) -> None:
    import openvino

    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for key, node in inputs.items():
        node.output(0).tensor.set_names({key})
    for key, node in outputs.items():
        node.output(0).tensor.set_names({key})
        results.append(_ops().result(node))
    model = openvino.Model(results, list(inputs.values()), name)
    openvino.save_model(model, str(folder / "int8.xml"), compress_to_fp16=False)
    lines = [
        f'name = "{name}"',
        'task = "made for tests"',
        'openvino = "int8"',
        'nc = "no"',
    ]
    sums = [hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in _FILES]
    for kind, nodes in (("inputs", inputs), ("outputs", outputs)):
        for key, node in nodes.items():
            shape = [int(size) for size in node.output(0).get_shape()]
            lines += [
                f"[[{kind}]]",
                f'name = "{key}"',
                f"shape = {shape}",
                'dtype = "float32"',
                "range = [-1000.0, 1000.0]",
                'meaning = "made"',
            ]
    lines.append("[state]")
    lines += [f'{key} = "{value}"' for key, value in state.items()]
    lines += [
        "[files.openvino_int8]",
        f'file = "{_FILES[0]}"',
        f'sha256 = "{sums[0]}"',
        f'extra = "{_FILES[1]}"',
        f'extra_sha256 = "{sums[1]}"',
    ]
    (folder / "card.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


_FILES = ("int8.xml", "int8.bin")
