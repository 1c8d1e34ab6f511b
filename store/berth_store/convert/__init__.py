"""Encoders in safetensors become ONNX graphs, without torch and without the package `onnx`.

`encoder` makes a file of its own when a model is packaged, `served` a graph over the model's own files.
"""
