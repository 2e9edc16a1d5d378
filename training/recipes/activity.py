"""Who speaks: Silero VAD, as the package `silero-vad` carries it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from inference.assets import Asset
from training.recipe import ANY, Ports, Taken, spec


class Activity(Taken):
    name = "activity"
    task = "whether somebody speaks, every 32 ms"
    state: ClassVar[Mapping[str, str]] = {"state": "state_next"}
    asset = Asset(
        name="silero_vad_openvino_16k.onnx",
        sha256="7776b81ad1b0350c15d7f1555943b9232eb53e9ca5d989c6d0cea9ebc8664d87",
        bytes=1_288_203,
        variable="MIEN_SILERO",
        url="",
        package="silero-vad==6.2.3",
        member="silero_vad/data/silero_vad_openvino_16k.onnx",
    )
    origin = (
        "Silero VAD (Copyright (c) 2020-present Silero Team; MIT, see LICENSE-silero), from "
        f"{asset.package}"
    )
    renamed: ClassVar[Mapping[str, str]] = {
        "input": "sound", "state": "state", "output": "spoken", "stateN": "state_next",
    }  # fmt: skip
    ports: ClassVar[Ports] = (
        (
            spec("sound", (1, 576), -1, 1, "4 ms that were taken before and 32 ms at 16 kHz"),
            spec("state", (2, 1, 128), -ANY, ANY, "zeros at first"),
        ),
        (
            spec("spoken", (1, 1), 0, 1, "probability"),
            spec("state_next", (2, 1, 128), -ANY, ANY, "the state of the next step"),
        ),
    )
