"""Readers of model files' headers: GGUF, safetensors, ONNX.

Each checks every count, length and offset against the file's length and against bounds of its own, reads no weights,
and answers a damaged or lying file with `UnsupportedModel`. `berth_store.detect` and packaging call them.
"""
