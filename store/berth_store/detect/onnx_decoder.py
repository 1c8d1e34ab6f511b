"""An ONNX model that writes text, from its graph and its settings: `detect_decoder`. `berth_store.detect.onnx` asks.

Two layouts are known, and in both the graph says most by itself. The builder of onnxruntime-genai puts a
`genai_config.json` beside it; exports for Transformers.js have `config.json` and `generation_config.json`, and name
their inputs as the builder does. An engine keeps the cache of many texts in one place and has each step write into it,
which the operator GroupQueryAttention does; graphs that hand a new cache on from step to step are refused.
"""

from dataclasses import dataclass
from pathlib import Path

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import config
from berth_store.detect.folder import ModelFolder
from berth_store.detect.genai_config import INPUTS, OUTPUTS, GenaiConfig, end_tokens
from berth_store.detect.kv_cache import BYTES_PER_NUMBER
from berth_store.detect.model import DecoderSettings, DetectedModel
from berth_store.detect.tokenizer import required_tokenizer
from berth_store.headers.onnx_header import OnnxHeader, OnnxValue

ATTENTION = "GroupQueryAttention"
CACHE_TYPES = frozenset({"F32", "F16"})
MAX_LAYERS = 1024
MAX_HEADS = 1024
MAX_HEAD_SIZE = 1024
MAX_VOCABULARY = 1 << 22
_REMEDY = "build it with the model builder of onnxruntime-genai (`-p int4 -e cpu`), or bring the model as GGUF"


def detect_decoder(
    folder: ModelFolder,
    path: Path,
    header: OnnxHeader,
    *,
    genai: GenaiConfig | None,
    template: str | None,
    task: Task,
) -> DetectedModel:
    """The model whose graph is at `path`; without a `genai_config.json`, by the settings of transformers.

    `task` is `Auto` where the chat template decides.
    """
    tokenizer = required_tokenizer(folder, path.name)
    if genai is None:
        genai = _of_transformers(folder, path)
    if task is Task.AUTO:
        task = Task.CHAT if template else Task.COMPLETION
    settings = _settings(_Graph(header, path.name), genai, folder)
    return DetectedModel(
        artifact=_artifact(header, genai, settings, task),
        root=folder.root,
        weights=(path, *(each.path for each in header.external)),
        tokenizer=tokenizer,
        chat_template=template,
        decoder=settings,
    )


@dataclass(frozen=True)
class _Graph:
    """A graph that is asked for its parts by name; what is missing or odd is an `UnsupportedModel`."""

    header: OnnxHeader
    file: str

    def input(self, name: str) -> OnnxValue | None:
        return next((value for value in self.header.inputs if value.name == name), None)

    def required(self, name: str, *, output: bool = False) -> OnnxValue:
        value = self.header.output(name) if output else self.input(name)
        if value is None:
            raise self.refuse(f"has no {'output' if output else 'input'} `{name}`")
        return value

    def count(self, pattern: str) -> int:
        """The layers that have an input of this name."""
        names = {value.name for value in self.header.inputs}
        return next(layer for layer in range(MAX_LAYERS + 1) if pattern.replace("%d", str(layer)) not in names)

    def size(self, value: OnnxValue, place: int, rank: int, most: int) -> int:
        """The fixed size of a dimension."""
        dims = value.dims or ()
        size = dims[place] if len(dims) == rank else None
        if not isinstance(size, int) or not 0 < size <= most:
            raise self.refuse(f"has `{value.name}` with the shape {list(dims)}, whose size {place} is to be a number")
        return size

    def refuse(self, why: str) -> UnsupportedModel:
        return UnsupportedModel(f"{self.file} is no decoder that engines here can drive: it {why}; {_REMEDY}")


def _settings(graph: _Graph, genai: GenaiConfig, folder: ModelFolder) -> DecoderSettings:
    names = {**INPUTS, **OUTPUTS, **genai.names}
    layers = graph.count(names["past_key_names"])
    if not 0 < layers <= MAX_LAYERS:
        raise graph.refuse(f"has no cache among its inputs (`{names['past_key_names']}`), or one of too many layers")
    if ATTENTION not in graph.header.operators:
        raise graph.refuse(f"has no operator {ATTENTION}, and so hands a new cache on at each step")
    parts = {key: tuple(names[key].replace("%d", str(layer)) for layer in range(layers)) for key in names}
    keys = [graph.required(name) for name in parts["past_key_names"]]
    kv_heads, head_size = graph.size(keys[0], 1, 4, MAX_HEADS), graph.size(keys[0], 3, 4, MAX_HEAD_SIZE)
    cache_type = keys[0].element_type or ""
    if cache_type not in CACHE_TYPES:
        raise graph.refuse(f"keeps its cache as {cache_type or 'no tensor'}, and float32 or float16 is driven")
    values = [graph.required(name) for name in parts["past_value_names"]]
    for each in (*keys, *values):
        if (graph.size(each, 1, 4, MAX_HEADS), graph.size(each, 3, 4, MAX_HEAD_SIZE)) != (kv_heads, head_size):
            raise graph.refuse(f"has layers of different sizes: `{each.name}` is not like `{keys[0].name}`")
        if each.element_type != cache_type:
            raise graph.refuse(f"has layers of different types: `{each.name}` is {each.element_type}")
    for name in (*parts["present_key_names"], *parts["present_value_names"]):
        graph.required(name, output=True)
    known = {names["input_ids"], names["attention_mask"], names["position_ids"]}
    known |= {each.name for each in (*keys, *values)}
    more = [value.name for value in graph.header.inputs if value.name not in known]
    if more:
        raise graph.refuse(f"has the input `{more[0]}`, and nobody says what to put there")
    vocabulary = genai.vocabulary or _width(graph.required(names["logits"], output=True)) or 0
    if not 0 < vocabulary <= MAX_VOCABULARY:
        raise graph.refuse("does not say how many tokens it knows, nor does genai_config.json (`model.vocab_size`)")
    bos, eos = (_mark(folder, key) for key in ("bos_token", "eos_token"))
    return DecoderSettings(
        tokens=graph.required(names["input_ids"]).name,
        mask=graph.required(names["attention_mask"]).name,
        positions=names["position_ids"] if graph.input(names["position_ids"]) else None,
        logits=graph.required(names["logits"], output=True).name,
        past_keys=parts["past_key_names"],
        past_values=parts["past_value_names"],
        present_keys=parts["present_key_names"],
        present_values=parts["present_value_names"],
        heads=min(genai.heads or kv_heads, MAX_HEADS),
        kv_heads=kv_heads,
        head_size=head_size,
        cache_type=cache_type,
        vocabulary=vocabulary,
        end_tokens=tuple(token for token in genai.end_tokens if token < vocabulary),
        bos=bos,
        eos=eos,
        temperature=genai.temperature,
        top_p=genai.top_p,
        top_k=genai.top_k,
    )


def _of_transformers(folder: ModelFolder, path: Path) -> GenaiConfig:
    """The same from the settings of transformers."""
    settings, generation = folder.json("config.json"), folder.json("generation_config.json")
    samples = config.flag(generation, "do_sample")
    return GenaiConfig(
        graph=path,
        architecture=config.text(settings, "model_type"),
        context_length=config.positions(settings),
        end_tokens=end_tokens(generation, "generation_config.json") or end_tokens(settings, "config.json"),
        heads=config.count(settings, "num_attention_heads"),
        vocabulary=config.count(settings, "vocab_size"),
        temperature=config.share(generation, "temperature", most=2.0) if samples else None,
        top_p=config.share(generation, "top_p", most=1.0) if samples else None,
        top_k=config.count(generation, "top_k") if samples else None,
    )


def _artifact(header: OnnxHeader, genai: GenaiConfig, settings: DecoderSettings, task: Task) -> Artifact:
    # What is stored of a packed matrix is bytes, and a scale for each block.
    stored = sum(each.numbers * each.bits // 8 + each.blocks for each in header.packed)
    packed = sum(each.numbers for each in header.packed)
    most = max(header.packed, key=lambda each: each.numbers, default=None)
    return Artifact(
        format=Format.ONNX,
        task=task,
        architecture=genai.architecture,
        parameters=max(0, header.parameters - stored) + packed,
        quantization=header.quantization if most is None else f"INT{most.bits}",
        context_length=genai.context_length,
        kv_bytes_per_token=settings.cache_numbers_per_token * BYTES_PER_NUMBER,
        size_bytes=header.file_bytes + sum(each.file_bytes for each in header.external),
    )


def _width(value: OnnxValue) -> int | None:
    width = value.dims[-1] if value.dims else None
    return width if isinstance(width, int) else None


def _mark(folder: ModelFolder, key: str) -> str:
    """A special token as the tokenizer's settings write it: a text, or an object with one."""
    settings = folder.json("tokenizer_config.json")
    return (config.text(settings, key) or config.text(config.mapping(settings, key), "content") or "")[:256]
