"""The graph runtime. What every process of Mien imports first, so here reports home are forbidden.

Importing OpenVINO sends an event with a persistent id to Google Analytics, and NNCF one per call;
both go on without where their sender cannot be imported. ONNX Runtime keeps an id of its own and
sends events to Microsoft, from native code, unless a variable forbids it before it loads.
"""

import os
import sys

__version__ = "0.1.0"

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # its import now fails
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
