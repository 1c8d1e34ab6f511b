"""Turning weights of one format into another when a model is packaged: safetensors encoders into ONNX.

Whoever packages a model calls this; an image that serves models never does. It needs `onnx` and `numpy`, no torch.
"""
