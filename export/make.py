"""The whole way of a network from its run to weights/NAME: files, comparison, card, engines."""

from __future__ import annotations

import argparse
from collections.abc import Set
from pathlib import Path
from typing import Any

from engine.files import atomic_write, make_folder
from export import samples
from export.fidelity import fidelities, lines_of
from export.networks import Network, exported, load
from export.onnx_file import to_float16, to_onnx
from export.parity import Parity, table
from export.quantize import to_int8
from export.write_card import Files, write_card
from inference.card import read_card
from inference.tensorrt import AHEAD_OF_TIME, load_tensorrt, obtain_engine
from training import command, recipes


def export(options: argparse.Namespace, arguments: str) -> None:
    """Write weights/NAME. Raises MienError."""
    made_by = f"{command.called('export')} {arguments}"
    kind = recipes.recipe(options.name)
    folder = options.out / kind.name
    again = options.run is None
    network = exported(kind, folder) if again else load(kind, options.run)
    recipe, data = network.recipe, network.run["data"]
    learn, judge = recipe.examples(options.data)
    calls = samples.calls(network, judge, max(2, options.calls // 4), seed=1)
    make_folder(folder)
    files: Files = {"onnx": ("model.onnx", "")}
    if again:
        files |= _kept(folder)
        reference = read_card(folder).files["onnx"].read()
    else:
        reference = to_onnx(network)
        _put(folder / "model.onnx", reference)
    if "tensorrt" in options.to and recipe.halved:
        _put(folder / "f16.onnx", to_float16(reference))
        files["onnx_f16"] = ("f16.onnx", "")
    if "openvino" in options.to and recipe.quantized:
        count = max(2, options.calls)
        xml, weights = to_int8(reference, samples.calls(network, learn, count))
        _put(folder / "int8.xml", xml)
        _put(folder / "int8.bin", weights)
        files["openvino_int8"] = ("int8.xml", "int8.bin")
        data = data | samples.calibrated_on(learn, count)
    kept = _measured_by_hand(folder) if again else {}
    write_card(folder, network, files, "f32", data, kept, made_by)
    _drop_stale(folder, files)
    rows = table(network, folder, calls)
    metrics: dict[str, Any] = {name: row.row() for name, row in rows.items()}
    fine = {name for name, row in rows.items() if row.good_enough()}
    if recipe.tolerance is not None:
        asked = samples.drawn(network, judge, options.edits, seed=2)
        for name, parts in fidelities(network, folder, asked, recipe.tolerance).items():
            metrics[f"{name}_by_emotion"] = {part.kind: part.row() for part in parts}
            fine -= set() if all(part.good_enough() for part in parts) else {name}
            print("\n".join(lines_of(name, parts)))
    # What adds up over seconds must not lose digits, and what is this small gains nothing.
    chosen = best(rows, fine) if recipe.halved else "f32"
    write_card(folder, network, files, chosen, data, metrics | kept, made_by)
    _report(network, rows, chosen)
    if "tensorrt" in options.to:
        _engines(folder, options.engines)


def best(rows: dict[str, Parity], fine: Set[str]) -> str:
    """The precision for OpenVINO: the quickest of those that are good enough; a gain below a tenth
    isn't worth lower precision."""
    chosen = "f32"
    for precision in ("bf16", "int8"):
        row, so_far = rows.get(f"openvino_{precision}"), rows.get(f"openvino_{chosen}")
        if row is None or so_far is None or f"openvino_{precision}" not in fine:
            continue
        if row.best_ms < 0.9 * so_far.best_ms:
            chosen = precision
    return chosen


def _kept(folder: Path) -> Files:
    """The files of a weight, by role."""
    return {
        role: (file.path.name, file.extra.name if file.extra else "")
        for role, file in read_card(folder).files.items()
    }


def _measured_by_hand(folder: Path) -> dict[str, Any]:
    """What a card tells of measurements that no export makes."""
    metrics = read_card(folder).text.get("metrics", {})
    return {name: row for name, row in metrics.items() if "note" in row}


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
    with atomic_write(path) as part:
        part.write_bytes(data)


def _report(network: Network, rows: dict[str, Parity], chosen: str) -> None:
    print(f"{network.name}: {network.task}")
    for row in rows.values():
        worst: Any = max(row.largest.values())
        extra = "" if row.agreement is None else f", same emotion {row.agreement:.1%}"
        print(f"  {row.label}: largest difference from torch {worst:.2g}{extra}")
    print(f"  on a CPU: {chosen}")
