"""Take the network that tells who speaks from others: Silero VAD, as weights/activity.

    python -m export.activity

It isn't trained here. The file is fetched once from the package `silero-vad` on PyPI, or taken from
where MIEN_SILERO names it; its tensors get the names that the nodes know, nothing else changes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from engine.errors import MienError
from engine.files import atomic_write, make_folder
from export.write_card import sha256_of, tensor_table, write
from inference.assets import locate
from training import command
from training.recipes.activity import Activity


def main(argv: list[str] | None = None) -> int:
    """Write weights/activity; the exit code: 0 done, 1 failed, 2 wrong use."""
    parser = command.parser_of("export.activity", __doc__)
    parser.add_argument("--out", type=Path, default=Path("weights"), help="activity is made there")
    options = parser.parse_args(sys.argv[1:] if argv is None else argv)
    return command.run("export.activity", lambda: take(options.out))


def take(out: Path) -> None:
    """Write OUT/activity. Raises MienError."""
    renamed = _renamed(locate(Activity.asset))
    folder = out / Activity.name
    make_folder(folder)
    file = folder / "model.onnx"
    with atomic_write(file) as part:
        part.write_bytes(renamed)
    inputs, outputs = Activity.ports
    head = {
        "name": Activity.name,
        "task": Activity.task,
        "nc": "no",
        "export": "python -m export.activity",
        "openvino": "f32",
    }
    card = {
        **head,
        "inputs": [tensor_table(spec) for spec in inputs],
        "outputs": [tensor_table(spec) for spec in outputs],
        "state": dict(Activity.state),
        "files": {"onnx": {"file": file.name, "sha256": sha256_of(file)}},
        "data": {"nc": "no", "weights_of_others": [Activity.origin]},
    }
    write(folder, f"{Activity.name}: {Activity.task}.", card)
    print(f"written: {folder}")


def _renamed(path: Path) -> bytes:
    """The network with the names of the card. Raises MienError where it is another one."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model: Any = onnx.load(path)
    except (OSError, DecodeError) as error:
        raise MienError(f"{path} is no network ({' '.join(str(error).split())})") from None
    graph, names, asset = model.graph, Activity.renamed, Activity.asset
    for ports, specs in zip((graph.input, graph.output), Activity.ports, strict=True):
        found = [(names.get(port.name), _shape(port)) for port in ports]
        if found != [(spec.name, spec.shape) for spec in specs]:
            raise MienError(f"{path} isn't {asset.name} of {asset.package}: it holds {found}")
        for port in ports:
            port.name = names[port.name]
    for node in graph.node:
        for ports in (node.input, node.output):
            ports[:] = [names.get(name, name) for name in ports]
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _shape(port: Any) -> tuple[int, ...]:
    return tuple(size.dim_value for size in port.type.tensor_type.shape.dim)


if __name__ == "__main__":
    raise SystemExit(main())
