"""Trained runs to weights: ONNX, OpenVINO and TensorRT, each proven to agree with torch."""
