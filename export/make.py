"""The whole way of a network from its run to weights/NAME: files, comparison, card, engines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from engine.files import make_folder, whole
from export import samples
from export.names import HALVED, QUANTIZED
from export.networks import Network, load
from export.onnx_file import to_float16, to_onnx
from export.parity import Parity, table
from export.quantize import to_int8
from export.write_card import describe_data, write_card
from nodes.card import read_card
from nodes.tensorrt import AHEAD_OF_TIME, load_tensorrt, obtain_engine
from training.data.clip import open_clips


def export(options: argparse.Namespace, arguments: str) -> None:
    """Write weights/NAME. Raises MienError."""
    made_by = f"python -m export {arguments}"
    network = load(options.name, options.run)
    data = describe_data(open_clips(options.data))
    calls = samples.calls(network, options.run, options.data, max(2, options.calls))
    folder = options.out / options.name
    make_folder(folder)
    files = {"onnx": ("model.onnx", "")}
    reference = to_onnx(network)
    _put(folder / "model.onnx", reference)
    if "tensorrt" in options.to and network.name in HALVED:
        _put(folder / "f16.onnx", to_float16(reference))
        files["onnx_f16"] = ("f16.onnx", "")
    if "openvino" in options.to and network.name in QUANTIZED:
        xml, weights = to_int8(reference, calls)
        _put(folder / "int8.xml", xml)
        _put(folder / "int8.bin", weights)
        files["openvino_int8"] = ("int8.xml", "int8.bin")
    write_card(folder, network, files, "f32", data, {}, made_by)
    _drop_stale(folder, files)
    rows = table(network, folder, calls[: max(2, options.calls // 4)])
    # What adds up over seconds must not lose digits, and what is this small gains nothing.
    chosen = best(rows) if network.name in HALVED else "f32"
    metrics = {name: row.row() for name, row in rows.items()}
    write_card(folder, network, files, chosen, data, metrics, made_by)
    _report(network, rows, chosen)
    if "tensorrt" in options.to:
        _engines(folder, options.engines)


def best(rows: dict[str, Parity]) -> str:
    """The precision for OpenVINO: the quickest that is good enough; a gain below a tenth isn't
    worth lower precision."""
    chosen = "f32"
    for precision in ("bf16", "int8"):
        row, so_far = rows.get(f"openvino_{precision}"), rows.get(f"openvino_{chosen}")
        if row is None or so_far is None or not row.good_enough():
            continue
        if row.best_ms < 0.9 * so_far.best_ms:
            chosen = precision
    return chosen


def _engines(folder: Path, into: Path) -> None:
    """Engines for cards that aren't here, where this TensorRT can; classic TensorRT cannot."""
    card, trt = read_card(folder), load_tensorrt()
    for capability in AHEAD_OF_TIME:
        obtain_engine(card, capability, print, into, trt)


def _drop_stale(folder: Path, files: dict[str, tuple[str, str]]) -> None:
    """What an earlier export left and this one has no part in."""
    used = {name for pair in files.values() for name in pair}
    for name in {"f16.onnx", "int8.xml", "int8.bin"} - used:
        (folder / name).unlink(missing_ok=True)


def _put(path: Path, data: bytes) -> None:
    with whole(path) as part:
        part.write_bytes(data)


def _report(network: Network, rows: dict[str, Parity], chosen: str) -> None:
    print(f"{network.name}: {network.task}")
    for row in rows.values():
        worst: Any = max(row.largest.values())
        extra = "" if row.psnr_db is None else f", PSNR {row.psnr_db:.1f} dB"
        extra += "" if row.agreement is None else f", same emotion {row.agreement:.1%}"
        print(f"  {row.label}: largest difference from torch {worst:.2g}{extra}")
    print(f"  on a CPU: {chosen}")
