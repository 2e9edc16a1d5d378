"""TensorRT for RTX, or classic TensorRT: engines built once, kept, checked and run."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.errors import MienError
from engine.files import atomic_write
from engine.types import F32
from inference.assets import cache_folder
from inference.card import Card
from inference.cuda import Cuda, find_cuda
from inference.profiles import add_profiles

PACKAGES: Final = ("tensorrt_rtx", "tensorrt")
AHEAD_OF_TIME: Final = ((8, 6), (8, 9), (12, 0))
"""compute capabilities of the RTX generations that engines are built for without a card"""


@dataclass(frozen=True, kw_only=True)
class EngineKey:
    """What an engine was built from and for; another engine is foreign."""

    weights_sha256: str
    shapes: str
    precision: str
    tensorrt: str
    capability: str

    def file(self, name: str, folder: Path) -> Path:
        """Where such an engine is kept."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return folder / f"{name}-sm{self.capability}-{digest[:16]}.engine"


def load_tensorrt() -> Any:
    """The Python module of whichever TensorRT is installed. Raises MienError."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is not None:
            return importlib.import_module(package)
    raise MienError("TensorRT is not installed (pip install tensorrt-rtx-cu13)")


def missing_tensorrt() -> str | None:
    """Why TensorRT cannot run here; None where it can."""
    if all(importlib.util.find_spec(package) is None for package in PACKAGES):
        return "TensorRT is not installed (pip install tensorrt-rtx-cu13)"
    found = find_cuda()
    return found if isinstance(found, str) else None


def engine_key(
    card: Card, trt: Any, capability: tuple[int, int], sizes: Sequence[int] = ()
) -> EngineKey:
    """The key of a card's engine for a compute capability, and for batches of ``sizes``."""
    role = _role(card)
    shapes = ";".join(f"{tensor.name}={tensor.shape}" for tensor in (*card.inputs, *card.outputs))
    if sizes:
        shapes += f";batches={tuple(sizes)}"
    return EngineKey(
        weights_sha256=card.files[role].sha256,
        shapes=shapes,
        precision="f16" if role == "onnx_f16" else "f32",
        tensorrt=f"{trt.__name__} {trt.__version__}",
        capability=f"{capability[0]}{capability[1]}",
    )


def obtain_engine(
    card: Card,
    capability: tuple[int, int],
    log: Callable[[str], None],
    folder: Path | None = None,
    trt: Any = None,
    sizes: Sequence[int] = (),
) -> Path:
    """The file of a card's engine (for batches of ``sizes``), built now where there is none that
    fits.

    What lies in ``folder`` (the user's cache) counts only if its record has the same key and its
    hash is right; anything else is built anew, never loaded. Raises MienError.
    """
    trt = trt or load_tensorrt()
    key = engine_key(card, trt, capability, sizes)
    cached = key.file(card.name, folder or cache_folder() / "engines")
    problem = _unfit(cached, key)
    if problem is None:
        return cached
    card_name = f"{card.name} for SM{key.capability}"
    log(f"building the engine of {card_name} ({problem}); this is done once")
    data = build_engine(card, capability, trt, sizes)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MienError(
            f"cannot write to {cached.parent} ({error.strerror}); set MIEN_CACHE"
        ) from None
    record = {"key": asdict(key), "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    with atomic_write(cached) as part:
        part.write_bytes(data)
    with atomic_write(_record(cached)) as part:
        part.write_text(json.dumps(record, indent=1), encoding="utf-8")
    log(f"the engine of {card_name} is ready: {len(data) / 1e6:.1f} MB in {cached}")
    return cached


def build_engine(
    card: Card, capability: tuple[int, int], trt: Any, sizes: Sequence[int] = ()
) -> bytes:
    """Build for a compute capability, on this machine's card or, with TensorRT for RTX, without;
    with a profile for each of ``sizes`` of batches, where there are any. Raises MienError."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(card.files[_role(card)].read()):
        line = " ".join(str(parser.get_error(0)).split())[:200]
        raise MienError(f"TensorRT cannot read {card.name} ({line}); export it again")
    config = builder.create_builder_config()
    if hasattr(config, "set_compute_capability"):
        wanted = getattr(trt.ComputeCapability, f"SM{capability[0]}{capability[1]}", None)
        if wanted is None:
            found = find_cuda()
            if isinstance(found, str) or found.capability != capability:
                raise MienError(
                    f"{trt.__name__} {trt.__version__} builds no engine for "
                    f"SM{capability[0]}{capability[1]} on another machine"
                )
            wanted = trt.ComputeCapability.CURRENT
        config.num_compute_capabilities = 1
        config.set_compute_capability(wanted, 0)
    if sizes:
        add_profiles(card, trt, builder, network, config, sizes)
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise MienError(
            f"TensorRT could not build {card.name} for SM{capability[0]}{capability[1]}"
        )
    return bytes(built)


class TensorRtRuntime:
    """A network on the NVIDIA card; the whole graph is captured by TensorRT for RTX itself."""

    def __init__(self, card: Card, log: Callable[[str], None]) -> None:
        cuda = find_cuda()
        if isinstance(cuda, str):
            raise MienError(f"{card.name} cannot run on TensorRT: {cuda}")
        trt = load_tensorrt()
        cuda.use()
        path = obtain_engine(card, cuda.capability, log, trt=trt)
        self._cuda: Cuda = cuda
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            path.unlink()
            path = obtain_engine(card, cuda.capability, log, trt=trt)
            engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise MienError(f"TensorRT refuses the engine of {card.name}; use --backend openvino")
        self._engine: Any = engine
        self._context = new_context(trt, engine)
        self._stream = cuda.stream()
        self._at: dict[str, int] = {}
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            shape = tuple(engine.get_tensor_shape(name))
            into = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            (self.inputs if into else self.outputs)[name] = shape
            self._at[name] = cuda.allocate(4 * int(np.prod(shape)))
            self._context.set_tensor_address(name, self._at[name])
        key = engine_key(card, trt, cuda.capability)
        self.label = f"{key.tensorrt}, {key.precision}, {cuda.name}"

    def run(self, tensors: Mapping[str, F32]) -> dict[str, F32]:
        """One step: up, compute, down, all in one queue."""
        for name, array in tensors.items():
            self._cuda.upload(self._at[name], array, self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise MienError("TensorRT could not run the network; use --backend openvino")
        answer = {}
        for name, shape in self.outputs.items():
            answer[name] = np.empty(shape, np.float32)
            self._cuda.download(answer[name], self._at[name], self._stream)
        self._cuda.wait(self._stream)
        return answer

    def close(self) -> None:
        """Free the device's memory."""
        self._context = self._engine = None
        for address in self._at.values():
            self._cuda.free(address)
        self._at.clear()
        self._cuda.end_stream(self._stream)


def new_context(trt: Any, engine: Any) -> Any:
    """What runs an engine; with CUDA graphs where TensorRT captures them itself."""
    if not hasattr(trt, "CudaGraphStrategy"):
        return engine.create_execution_context()
    settings = engine.create_runtime_config()
    settings.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    return engine.create_execution_context(settings)


def _role(card: Card) -> str:
    return "onnx_f16" if "onnx_f16" in card.files else "onnx"


def _record(engine: Path) -> Path:
    return engine.with_suffix(".json")


def _unfit(engine: Path, key: EngineKey) -> str | None:
    """Why an engine may not be loaded; None where it may."""
    if not engine.is_file():
        return "there is none yet"
    try:
        record = json.loads(_record(engine).read_text(encoding="utf-8"))
        data = engine.read_bytes()
        known, sha256 = record["key"], record["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return "the one that is kept has no record"
    if known != asdict(key):
        return "the one that is kept was built for something else"
    if hashlib.sha256(data).hexdigest() != sha256:
        return "the one that is kept is damaged"
    return None
