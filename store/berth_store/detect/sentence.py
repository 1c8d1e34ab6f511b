"""How a sentence-transformers model makes vectors: `read_embedding`, from the settings in such a model's folder.

Source: the files that the sentence-transformers library writes: `modules.json` (the chain of modules), each module's
`config.json`, `sentence_bert_config.json` (the longest text) and `config_sentence_transformers.json` (prompts).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from berth_api.errors import UnsupportedModel
from berth_store.detect import config
from berth_store.detect.folder import ModelFolder
from berth_store.detect.model import EmbeddingSettings, Pooling
from berth_store.headers.bounded_json import Json, read_json

_MODES = {
    "pooling_mode_cls_token": Pooling.CLS,
    "pooling_mode_mean_tokens": Pooling.MEAN,
    "pooling_mode_max_tokens": Pooling.MAX,
    "pooling_mode_mean_sqrt_len_tokens": Pooling.MEAN_SQRT_LENGTH,
    "pooling_mode_weightedmean_tokens": Pooling.WEIGHTED_MEAN,
    "pooling_mode_lasttoken": Pooling.LAST,
}
# Later versions state one word.
_WORDS = {
    "cls": Pooling.CLS,
    "mean": Pooling.MEAN,
    "max": Pooling.MAX,
    "mean_sqrt_len_tokens": Pooling.MEAN_SQRT_LENGTH,
    "weightedmean": Pooling.WEIGHTED_MEAN,
    "lasttoken": Pooling.LAST,
}
_LENGTH_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
# All that is read here of a model whose modules lie where the library puts them.
FILES = (
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "1_Pooling/config.json",
    "tokenizer_config.json",
    *_LENGTH_FILES,
)
MAX_MODULES = 64
REMEDY_MODULES = "fetch modules.json and the folders that it names again"


@dataclass(frozen=True)
class SentenceModel:
    """What the folder says: the settings, and the kinds of modules that no engine here can run after the graph."""

    settings: EmbeddingSettings
    unsupported_modules: tuple[str, ...]


def read_embedding(folder: ModelFolder) -> SentenceModel | None:
    """The settings of the folder; None if it holds none."""
    modules = _modules(folder)
    kinds = [kind for kind, _ in modules]
    pooling_path = next((path for kind, path in modules if kind == "Pooling"), None)
    pooling_config = folder.json(f"{pooling_path or '1_Pooling'}/config.json")
    if not modules and not pooling_config:
        return None
    prompts = folder.json("config_sentence_transformers.json")
    default = config.text(prompts, "default_prompt_name")
    settings = EmbeddingSettings(
        pooling=_pooling(pooling_config),
        normalize="Normalize" in kinds,
        max_sequence_length=max_sequence_length(folder),
        dimensions=config.count(pooling_config, "word_embedding_dimension")
        or config.count(pooling_config, "embedding_dimension"),
        default_prompt=(config.text(config.mapping(prompts, "prompts"), default) or "") if default else "",
        include_prompt=pooling_config.get("include_prompt") is not False,
    )
    known = {"Transformer", "Pooling", "Normalize"}
    return SentenceModel(settings, tuple(kind for kind in kinds if kind not in known))


def embedding_settings(folder: ModelFolder) -> EmbeddingSettings:
    """The settings of the folder; where it holds none, the longest text alone."""
    sentence = read_embedding(folder)
    return sentence.settings if sentence else EmbeddingSettings(None, max_sequence_length=max_sequence_length(folder))


@dataclass(frozen=True)
class VectorOutput:
    """An output of a graph that holds vectors; `width` is their length, None where the graph leaves it open."""

    name: str
    width: int | None


def embedding_of_graph(
    folder: ModelFolder, name: str, *, whole: VectorOutput | None, tokens: VectorOutput | None
) -> EmbeddingSettings | None:
    """The settings for a graph called `name`; None if it has no vectors.

    Its own vector of the `whole` text is taken if there is one, else those of the tokens, with the pooling that is
    stated.
    """
    stated = embedding_settings(folder)
    if whole is None:
        refuse_unsupported_modules(read_embedding(folder), name)
    output = whole or tokens
    if output is None:
        return None
    return replace(
        stated,
        pooling=Pooling.IN_GRAPH if whole else stated.pooling,
        dimensions=output.width or stated.dimensions,
        output=output.name,
    )


def is_sentence_model(folder: ModelFolder) -> bool:
    """Whether the folder says of itself that it is made to embed texts, rather than to compare pairs of them."""
    stated = config.text(folder.json("config_sentence_transformers.json"), "model_type")
    return bool(_modules(folder)) and stated in (None, "SentenceTransformer")


def is_cross_encoder(folder: ModelFolder) -> bool:
    """Whether the folder says of itself that it is made to compare pairs of texts.

    The library has said so in three ways: a model type of its own, and a note in config.json, earlier by another key.
    """
    stated = config.text(folder.json("config_sentence_transformers.json"), "model_type")
    settings = folder.json("config.json")
    return (
        stated == "CrossEncoder"
        or "activation_fn" in config.mapping(settings, "sentence_transformers")
        or "sbert_ce_default_activation_function" in settings
    )


def refuse_unsupported_modules(sentence: SentenceModel | None, name: str) -> None:
    """Raise `UnsupportedModel` if modules stand after `name` that nothing here runs."""
    if sentence is not None and sentence.unsupported_modules:
        raise UnsupportedModel(
            f"{name} ends before the modules {', '.join(sentence.unsupported_modules)} of modules.json, which no "
            "engine here runs; export the whole chain to ONNX, with the output `sentence_embedding`"
        )


def max_sequence_length(folder: ModelFolder) -> int | None:
    """The longest text in tokens: as the folder states it, and never more than the model's positions allow."""
    stated = next((n for name in _LENGTH_FILES if (n := config.count(folder.json(name), "max_seq_length"))), None)
    stated = stated or config.count(folder.json("tokenizer_config.json"), "model_max_length")
    possible = config.positions(folder.json("config.json"))
    known = [number for number in (stated, possible) if number]
    return min(known) if known else None


def _modules(folder: ModelFolder) -> list[tuple[str, str]]:
    """The chain of modules as (kind, folder); the kind is the last word of the class's name."""
    path = folder.file("modules.json")
    if path is None:
        return []
    listed = read_json(path)
    if not isinstance(listed, list) or len(listed) > MAX_MODULES:
        raise UnsupportedModel(f"modules.json is no list of modules; {REMEDY_MODULES}")
    return [_module(each) for each in listed]


def _module(entry: Json) -> tuple[str, str]:
    kind = config.text(entry, "type") if isinstance(entry, Mapping) else None
    where = entry.get("path", "") if isinstance(entry, Mapping) else None
    if kind is None or not isinstance(where, str) or where.startswith("/") or ".." in where.split("/"):
        raise UnsupportedModel(f"modules.json has an entry without a type, or one that leads out; {REMEDY_MODULES}")
    return kind.rsplit(".", 1)[-1], where


def _pooling(settings: Mapping[str, Json]) -> Pooling | None:
    modes = [mode for key, mode in _MODES.items() if config.flag(settings, key)]
    word = config.text(settings, "pooling_mode")
    if word is not None and word in _WORDS:
        modes = [_WORDS[word]]
    if len(modes) > 1:
        raise UnsupportedModel(
            f"the pooling joins {' and '.join(modes)} end to end, and engines here do one; "
            "export the model to ONNX with its pooling inside"
        )
    return modes[0] if modes else None
