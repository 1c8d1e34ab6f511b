"""Artifacts that mean harm, some hundreds, each breaking one rule: `ALL`, a table of builders.

A builder is a function from the canary (a path that nobody but a payload would create) to cases. A module holds those
of one kind; a new kind is a module and a line here. Cases are the same each time and quick to make, and made one by
one, so that only one is in memory.
"""

from hostile import archives, bombs, graphs, headers, manifests, names, pickles, settings, templates, tflite
from hostile.case import Builder

ALL: dict[str, Builder] = {
    "names": names.build,
    "archives": archives.build,
    "bombs": bombs.build,
    "manifests": manifests.build,
    "gguf": headers.build_gguf,
    "safetensors": headers.build_safetensors,
    "onnx": graphs.build,
    "tflite": tflite.build,
    "pickles": pickles.build,
    "settings": settings.build,
    "templates": templates.build,
}
