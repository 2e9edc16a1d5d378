"""The whole way of a network from its run to weights/NAME: files, comparison, card, engines."""

from __future__ import annotations

import argparse
from collections.abc import Set
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.files import atomic_write, make_folder
from export import samples
from export.fidelity import fidelities, lines_of
from export.networks import Network, exported, load
from export.onnx_file import to_float16, to_onnx
from export.parity import Parity, table
from export.quantize import to_int8
from export.write_card import Files, sha256_of, write_card
from inference.card import CARD, read_card
from inference.tensorrt import AHEAD_OF_TIME, load_tensorrt, obtain_engine
from training import command, recipes
from training.recipe import Recipe


def export(options: argparse.Namespace, arguments: str) -> None:
    """Write weights/NAME. Raises MienError."""
    made_by = f"{command.called('export')} {arguments}"
    kind = recipes.recipe(options.name)
    folder = options.out / kind.name
    again = options.run is None
    network = exported(kind, folder) if again else load(kind, options.run)
    recipe, data = network.recipe, network.run["data"]
    if options.precision == "int8" and not recipe.quantized:
        raise UsageError(f"{kind.name} has no int8: its recipe isn't quantized")
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
    kept = _evaluated(folder, again)
    write_card(folder, network, files, ("f32", "not compared yet"), data, kept, made_by)
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
    chosen = precision_of(recipe, options.precision, fine)
    write_card(folder, network, files, chosen, data, metrics | kept, made_by)
    _report(network, rows, chosen)
    if "tensorrt" in options.to:
        _engines(folder, options.engines)


def precision_of(recipe: Recipe, asked: str | None, fine: Set[str]) -> tuple[str, str]:
    """What OpenVINO is to compute in, and why: what was ``asked`` for, else what the recipe says
    where that is ``fine``."""
    if asked:
        return asked, "asked for"
    if recipe.precision == "f32" or f"openvino_{recipe.precision}" in fine:
        return recipe.precision, "the recipe's"
    return "f32", f"the recipe's {recipe.precision} isn't good enough"


def _kept(folder: Path) -> Files:
    """The files of a weight, by role."""
    return {
        role: (file.path.name, file.extra.name if file.extra else "")
        for role, file in read_card(folder).files.items()
    }


def _evaluated(folder: Path, again: bool) -> dict[str, Any]:
    """Tables of a card that evaluators put there, of the network as it is now; and, where that one
    isn't made anew, those with a note."""
    card = folder / CARD
    if not card.is_file():
        return {}
    metrics = read_card(folder).text.get("metrics", {})
    model = sha256_of(folder / "model.onnx")
    kept, gone = {}, []
    for name, row in metrics.items():
        if row.get("model_sha256") == model or (again and "note" in row):
            kept[name] = row
        elif "model_sha256" in row or "note" in row:
            gone.append(name)
    if gone:
        print(f"{', '.join(gone)}: of another network, gone from the card; evaluate again")
    return kept


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


def _report(network: Network, rows: dict[str, Parity], chosen: tuple[str, str]) -> None:
    print(f"{network.name}: {network.task}")
    for row in rows.values():
        worst: Any = max(row.largest.values())
        extra = "" if row.agreement is None else f", same emotion {row.agreement:.1%}"
        print(f"  {row.label}: largest difference from torch {worst:.2g}{extra}")
    print(f"  on a CPU: {chosen[0]} ({chosen[1]})")
