"""Take the network that tells who speaks from others: Silero VAD, as weights/activity.

    python -m export.activity

It isn't trained here. The file is fetched once from the package `silero-vad` on PyPI, or taken from
where MIEN_SILERO names it; its tensors get the names that the nodes know, nothing else changes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from engine.errors import MienError
from engine.files import atomic_write, make_folder
from export.write_card import sha256_of, tensor_table, write
from inference.assets import Asset, locate
from inference.card import Tensor
from training import command

SILERO: Final = Asset(
    name="silero_vad_openvino_16k.onnx",
    sha256="7776b81ad1b0350c15d7f1555943b9232eb53e9ca5d989c6d0cea9ebc8664d87",
    bytes=1_288_203,
    variable="MIEN_SILERO",
    url="",
    package="silero-vad==6.2.3",
    member="silero_vad/data/silero_vad_openvino_16k.onnx",
)
ORIGIN: Final = (
    "Silero VAD (Copyright (c) 2020-present Silero Team; MIT, see LICENSE-silero), from "
    f"{SILERO.package}"
)
TASK: Final = "whether somebody speaks, every 32 ms"
NAMES: Final = {
    "input": "sound", "state": "state", "output": "spoken", "stateN": "state_next",
}  # fmt: skip
INPUTS: Final = (
    Tensor("sound", (1, 576), "float32", -1, 1, "4 ms that were taken before and 32 ms at 16 kHz"),
    Tensor("state", (2, 1, 128), "float32", -3e38, 3e38, "zeros at first"),
)
OUTPUTS: Final = (
    Tensor("spoken", (1, 1), "float32", 0, 1, "probability"),
    Tensor("state_next", (2, 1, 128), "float32", -3e38, 3e38, "the state of the next step"),
)


def main(argv: list[str] | None = None) -> int:
    """Write weights/activity; the exit code: 0 done, 1 failed, 2 wrong use."""
    parser = command.parser_of("export.activity", __doc__)
    parser.add_argument("--out", type=Path, default=Path("weights"), help="activity is made there")
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    return command.run("export.activity", lambda: take(options.out))


def take(out: Path) -> None:
    """Write OUT/activity. Raises MienError."""
    renamed = _renamed(locate(SILERO))
    folder = out / "activity"
    make_folder(folder)
    file = folder / "model.onnx"
    with atomic_write(file) as part:
        part.write_bytes(renamed)
    head = {
        "name": "activity",
        "task": TASK,
        "nc": False,
        "export": "python -m export.activity",
        "openvino": "f32",
    }
    card = {
        **head,
        "inputs": [tensor_table(spec) for spec in INPUTS],
        "outputs": [tensor_table(spec) for spec in OUTPUTS],
        "state": {"state": "state_next"},
        "files": {"onnx": {"file": file.name, "sha256": sha256_of(file)}},
        "data": {"nc": False, "weights_of_others": [ORIGIN]},
    }
    write(folder, f"activity: {TASK}.", card)
    print(f"written: {folder}")


def _renamed(path: Path) -> bytes:
    """The network with the names of the card. Raises MienError where it is another one."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model: Any = onnx.load(path)
    except (OSError, DecodeError) as error:
        raise MienError(f"{path} is no network ({' '.join(str(error).split())})") from None
    graph = model.graph
    for ports, specs in ((graph.input, INPUTS), (graph.output, OUTPUTS)):
        found = [(NAMES.get(port.name), _shape(port)) for port in ports]
        if found != [(spec.name, spec.shape) for spec in specs]:
            raise MienError(f"{path} isn't {SILERO.name} of {SILERO.package}: it holds {found}")
        for port in ports:
            port.name = NAMES[port.name]
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [NAMES.get(name, name) for name in names]
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _shape(port: Any) -> tuple[int, ...]:
    return tuple(size.dim_value for size in port.type.tensor_type.shape.dim)


if __name__ == "__main__":
    raise SystemExit(main())
