"""What `genai_config.json` says of an ONNX model that writes text: `read_genai_config`. Detection asks.

Source: the model builder of onnxruntime-genai, and the parser of its runtime (`src/config.cpp`). Only what describes
the graph is believed, each within bounds. What would have a library load, read or write a file of its own choice is
refused by name, and so are the parts of models that are more than a decoder.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from berth_api.errors import UnsupportedModel
from berth_store.detect import config
from berth_store.detect.folder import ModelFolder
from berth_store.headers.bounded_json import Json
from berth_store.headers.folder import resolve_inside

NAME = "genai_config.json"
MAX_TOKEN = (1 << 31) - 1
MAX_END_TOKENS = 64
MAX_NAME_LENGTH = 256
MAX_OPTIONS = 1024

# What a decoder's inputs and outputs are called where the file does not say.
INPUTS: Mapping[str, str] = {
    "input_ids": "input_ids",
    "attention_mask": "attention_mask",
    "position_ids": "position_ids",
    "past_key_names": "past_key_values.%d.key",
    "past_value_names": "past_key_values.%d.value",
}
OUTPUTS: Mapping[str, str] = {
    "logits": "logits",
    "present_key_names": "present.%d.key",
    "present_value_names": "present.%d.value",
}
# Parts beside the decoder, and forms of it that want another way of being driven.
_OTHER_PARTS = (
    "encoder",
    "encoder_decoder_init",
    "embedding",
    "vision",
    "speech",
    "jointer",
    "joiner",
    "mtp",
    "dflash2",
)
_REACHES_OUT = re.compile(r"path|file|folder|dir(ectory)?$|_dir|librar|plugin|custom_op|profil|dump|preload|dll|\.so\b")
_REMEDY = "take it out, or build the model again with the builder of onnxruntime-genai"


@dataclass(frozen=True)
class GenaiConfig:
    """What the file says. `names` are those of inputs and outputs, by genai's words; numbers are None where unsaid."""

    graph: Path
    architecture: str | None
    context_length: int | None
    end_tokens: tuple[int, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    heads: int | None = None
    vocabulary: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


def read_genai_config(folder: ModelFolder) -> GenaiConfig | None:
    """The model that the folder's file describes; None if there is no such file."""
    if folder.file(NAME) is None:
        return None
    model = config.mapping(folder.json(NAME), "model")
    decoder = config.mapping(model, "decoder")
    _refuse_other_models(model, decoder)
    for part, where in ((model, "model"), (decoder, "model.decoder")):
        _refuse_reaching_out(part, where)
    search = config.mapping(folder.json(NAME), "search")
    samples = config.flag(search, "do_sample")
    return GenaiConfig(
        graph=resolve_inside(folder.root, config.text(decoder, "filename") or "", f"{NAME}: model.decoder.filename"),
        architecture=config.text(model, "type"),
        context_length=config.count(model, "context_length"),
        end_tokens=end_tokens(model, NAME),
        names={**_names(decoder, "inputs", INPUTS), **_names(decoder, "outputs", OUTPUTS)},
        heads=config.count(decoder, "num_attention_heads"),
        vocabulary=config.count(model, "vocab_size"),
        temperature=config.share(search, "temperature", most=2.0) if samples else None,
        top_p=config.share(search, "top_p", most=1.0) if samples else None,
        top_k=config.count(search, "top_k") if samples else None,
    )


def end_tokens(settings: Mapping[str, Json], name: str) -> tuple[int, ...]:
    """The tokens with which a text ends: a number or a list of them."""
    stated = settings.get("eos_token_id")
    tokens = stated if isinstance(stated, list) else [] if stated is None else [stated]
    if len(tokens) > MAX_END_TOKENS or not all(type(each) is int and 0 <= each <= MAX_TOKEN for each in tokens):
        raise UnsupportedModel(
            f"{name}: `eos_token_id` is no token number, nor a list of up to {MAX_END_TOKENS}; correct it"
        )
    return tuple(sorted({each for each in tokens if isinstance(each, int)}))


def _refuse_other_models(model: Mapping[str, Json], decoder: Mapping[str, Json]) -> None:
    if not decoder:
        raise UnsupportedModel(f"{NAME} describes no decoder (`model.decoder`); {_REMEDY}")
    other = next((part for part in _OTHER_PARTS if config.mapping(model, part)), None)
    if other is not None:
        raise UnsupportedModel(
            f"{NAME} describes a model with the part `model.{other}`, and engines here drive decoders alone; choose a "
            "model that reads and writes text only"
        )
    if decoder.get("pipeline"):
        raise UnsupportedModel(
            f"{NAME} splits the decoder into several graphs (`model.decoder.pipeline`), as for an accelerator of its "
            "own; choose a build for the CPU, which is one graph"
        )
    window = config.mapping(decoder, "sliding_window")
    if window and any(window.get(key) is not False for key in ("slide_inputs", "slide_key_value_cache")):
        raise UnsupportedModel(
            f"{NAME} slides a window over the cache (`model.decoder.sliding_window`), which no engine here does; "
            "choose a build for the CPU, whose graph does that by itself"
        )


def _refuse_reaching_out(part: Mapping[str, Json], where: str) -> None:
    options = {key: part[key] for key in ("session_options", "run_options") if key in part}
    for count, (path, value) in enumerate(_options(options, where)):
        if count > MAX_OPTIONS:
            raise UnsupportedModel(f"{NAME} has more than {MAX_OPTIONS:,} options, and no real one does; {_REMEDY}")
        if _REACHES_OUT.search(path.lower()) and value not in (None, "", False):
            raise UnsupportedModel(
                f"{NAME} sets `{path[:200]}`, which has an engine load or write files of the model's choice; {_REMEDY}"
            )


def _options(value: Json, path: str) -> Iterator[tuple[str, Json]]:
    """Every option of a part, by its whole name; names of providers are keys among them."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _options(each, f"{path}.{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _options(each, f"{path}[{index}]")
    else:
        yield path, value


def _names(decoder: Mapping[str, Json], part: str, known: Mapping[str, str]) -> dict[str, str]:
    stated = config.mapping(decoder, part)
    found = {key: config.text(stated, key) or default for key, default in known.items()}
    for key, name in found.items():
        wanted = key.endswith("_names")
        if len(name) > MAX_NAME_LENGTH or name.count("%d") != wanted or name.count("%") != wanted:
            form = "a name with one `%d` for the layer" if wanted else "a name"
            raise UnsupportedModel(f"{NAME}: `model.decoder.{part}.{key}` is not {form}; correct it")
    return found
