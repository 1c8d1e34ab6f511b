"""The files that fuzzing starts from: small valid ones of each format, in the folders that they need."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from decoder_builders import decoder_files
from folder_builders import as_bytes, sentence_files
from gguf_builders import (
    BOOL,
    LLAMA_TENSORS,
    U64,
    Numbers,
    Strings,
    Tensor,
    Typed,
    bert_gguf,
    gguf,
    llama_gguf,
    llama_metadata,
)
from onnx_builders import (
    TOKEN_INPUTS,
    block,
    encoder_onnx,
    onnx,
    onnx_graph,
    onnx_node,
    onnx_tensor,
    onnx_value,
    onnx_with_outputs,
)
from safetensors_builders import Shapes, safetensors
from tflite_builders import picture_tflite, ssd_tflite
from tflite_encoder import table_tflite
from tiny_classifier import quantised_tflite


@dataclass(frozen=True)
class Seed:
    """A file called `name`, valid as it is; `beside` are the files that detection looks for next to it.

    One that is no model is valid for its reader alone.
    """

    name: str
    content: bytes
    beside: Mapping[str, object]
    is_model: bool = True


def _gguf() -> list[Seed]:
    few = {"tokenizer__ggml__tokens": Strings(["a", "bc"]), "tokenizer__ggml__scores": None}
    many = llama_metadata(
        x__flags=Numbers(BOOL, [True, False]),
        x__big=Typed(U64, 2**40),
    )
    return [
        Seed("model.gguf", llama_gguf(**few), {}),
        Seed("model.gguf", bert_gguf(), {}),
        Seed("model.gguf", bytes(gguf(many, LLAMA_TENSORS).content), {"chat_template.jinja": "x"}),
        Seed(
            "model.gguf",
            bytes(gguf({"general.alignment": 64}, [Tensor("t", (3, 5))], alignment=64).content),
            {},
            is_model=False,
        ),
    ]


def _safetensors() -> list[Seed]:
    settings = {"config.json": {"architectures": ["LlamaForCausalLM"]}}
    packed: Shapes = {"a": ("U8", (3,)), "b": ("F8_E4M3", (2, 2)), "empty": ("F32", (0,))}
    return [
        Seed("model.safetensors", safetensors(metadata={"format": "pt"}), settings),
        Seed("model.safetensors", safetensors(packed), settings),
        Seed("model.safetensors", safetensors(dict.fromkeys("abc", ("F32", (4,)))), settings),
    ]


def _onnx() -> list[Seed]:
    outside = onnx_tensor("w", (2, 4), external={"location": "w.bin", "offset": "8", "length": "32"})
    branch = onnx_node("If", attributes=[block(6, onnx_graph(initializers=[onnx_tensor("b", (2,))]))])
    graph = onnx_graph(
        nodes=[branch, onnx_node("Custom", domain="my.ops")],
        inputs=TOKEN_INPUTS,
        outputs=[onnx_value("sentence_embedding", ("b", 8))],
        initializers=[outside, onnx_tensor("p", (3,), packed_dims=True)],
    )
    return [
        Seed("model.onnx", encoder_onnx(), sentence_files()),
        Seed("model.onnx", onnx(graph, metadata={"k": "v"}), {"w.bin": b"\0" * 64, "tokenizer.json": {}}),
    ]


def _tflite() -> list[Seed]:
    return [
        Seed("model.tflite", picture_tflite(labels=["red", "green", "blue"]), {}),
        Seed("model.tflite", ssd_tflite(labels="???\nred\ngreen\nblue\n"), {}),
        Seed("model.tflite", quantised_tflite(), {"labels.txt": "a\nb\nc\n"}),
        Seed("model.tflite", table_tflite(np.zeros((5, 8), np.float32), pools=True), sentence_files()),
    ]


def _settings() -> list[Seed]:
    """The JSON files beside a graph, each in turn the one that is damaged."""
    files: dict[str, object] = {**sentence_files(), "model.onnx": encoder_onnx()}
    texts = {
        "modules.json": b'[{"path": "", "type": "a.Transformer"}, {"path": "1_Pooling", "type": "a.Pooling"}]',
        "config.json": b'{"architectures": ["BertModel"], "id2label": {"0": "a"}, "max_position_embeddings": 512}',
        "1_Pooling/config.json": b'{"word_embedding_dimension": 8, "pooling_mode_mean_tokens": true}',
    }
    return [Seed(name, content, files) for name, content in texts.items()]


def _decoders() -> list[Seed]:
    """A graph that writes text and the settings that name it, each in turn the one that is damaged."""
    files = as_bytes(decoder_files())
    return [Seed(name, files[name], files) for name in ("model.onnx", "genai_config.json")]


def _pictures() -> list[Seed]:
    """Graphs for pictures that say in their metadata how they are used, and the settings beside one that does not."""
    inputs = [onnx_value("pixel_values", ("b", 3, 64, 64))]
    classifier = onnx_with_outputs(onnx_value("logits", ("b", 2)), inputs=inputs)
    names = {"task": "detect", "stride": "32", "imgsz": "[64, 64]", "names": "{0: 'a', 1: \"b's\"}"}
    detector = onnx_with_outputs(onnx_value("output0", ("b", 6, 84)), inputs=inputs, metadata=names)
    charset = {"character": "a\nb\nc"}
    recogniser = onnx_with_outputs(onnx_value("softmax", ("b", "t", 5)), inputs=inputs, metadata=charset)
    settings = (
        b'{"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 64}, "crop_pct": 0.875, '
        b'"crop_size": {"height": 64, "width": 64}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], '
        b'"do_rescale": true, "rescale_factor": 0.0039, "do_normalize": true, "resample": 3}'
    )
    return [
        Seed("model.onnx", detector, {}),
        Seed("model.onnx", recogniser, {}),
        Seed("preprocessor_config.json", settings, {"model.onnx": classifier}),
    ]


SEEDS: Mapping[str, Callable[[], list[Seed]]] = {
    "gguf": _gguf,
    "safetensors": _safetensors,
    "onnx": _onnx,
    "tflite": _tflite,
    "settings": _settings,
    "pictures": _pictures,
    "decoders": _decoders,
}
"""Starting files by what is read."""
