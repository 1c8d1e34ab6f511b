"""What `config.json` says about an encoder of the BERT family, checked before any weight is read. Pure.

The families differ in the names of their keys and tensors and in how positions are counted, not in their arithmetic:
each is one line in `FAMILIES`. Called by `berth_store.convert.encoder`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from berth_api.errors import UnsupportedModel

Json = Mapping[str, object]


class Activation(StrEnum):
    """The activation between the two halves of a feed-forward block."""

    GELU = "gelu"
    GELU_TANH = "gelu with tanh"
    RELU = "relu"
    SILU = "silu"


ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": Activation.GELU,
    "gelu_python": Activation.GELU,
    "gelu_new": Activation.GELU_TANH,
    "gelu_fast": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "relu": Activation.RELU,
    "silu": Activation.SILU,
    "swish": Activation.SILU,
}


class Positions(StrEnum):
    """How a token's position is counted."""

    FROM_ZERO = "from zero"
    AFTER_PADDING_ID = "after the padding id, padding not counted"


@dataclass(frozen=True, kw_only=True)
class TensorNames:
    """The names of a family's tensors, below its prefix and, for those of a layer, below `layer.format(index)`."""

    prefix: str
    layer: str
    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    intermediate: str
    output: str
    output_norm: str
    words: str = "embeddings.word_embeddings.weight"
    positions: str = "embeddings.position_embeddings.weight"
    types: str = "embeddings.token_type_embeddings.weight"
    embedding_norm: str = "embeddings.LayerNorm"


class SequenceHead(StrEnum):
    """What stands between the first token's vector and the classifier, by the names of its tensors."""

    POOLER = "pooler.dense"  # tanh
    CLASSIFIER_DENSE = "classifier.dense"  # tanh
    PRE_CLASSIFIER = "pre_classifier"  # relu


@dataclass(frozen=True, kw_only=True)
class ConfigKeys:
    """Where a family's `config.json` keeps the figures."""

    hidden_size: str = "hidden_size"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    activation: str = "hidden_act"


@dataclass(frozen=True, kw_only=True)
class Family:
    """One `model_type`."""

    names: TensorNames
    sequence_head: SequenceHead
    keys: ConfigKeys = ConfigKeys()
    positions: Positions = Positions.FROM_ZERO


def _bert_names(prefix: str) -> TensorNames:
    return TensorNames(
        prefix=prefix,
        layer="encoder.layer.{}.",
        query="attention.self.query",
        key="attention.self.key",
        value="attention.self.value",
        attention_output="attention.output.dense",
        attention_norm="attention.output.LayerNorm",
        intermediate="intermediate.dense",
        output="output.dense",
        output_norm="output.LayerNorm",
    )


_DISTILBERT = Family(
    names=TensorNames(
        prefix="distilbert.",
        layer="transformer.layer.{}.",
        query="attention.q_lin",
        key="attention.k_lin",
        value="attention.v_lin",
        attention_output="attention.out_lin",
        attention_norm="sa_layer_norm",
        intermediate="ffn.lin1",
        output="ffn.lin2",
        output_norm="output_layer_norm",
    ),
    sequence_head=SequenceHead.PRE_CLASSIFIER,
    keys=ConfigKeys(hidden_size="dim", layers="n_layers", heads="n_heads", activation="activation"),
)
_ROBERTA = Family(
    names=_bert_names("roberta."),
    sequence_head=SequenceHead.CLASSIFIER_DENSE,
    positions=Positions.AFTER_PADDING_ID,
)

FAMILIES: Mapping[str, Family] = {
    "bert": Family(names=_bert_names("bert."), sequence_head=SequenceHead.POOLER),
    "camembert": _ROBERTA,
    "distilbert": _DISTILBERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """An encoder that can be built; `positions` is the length of its table of positions."""

    family: Family
    hidden_size: int
    layers: int
    heads: int
    activation: Activation
    norm_epsilon: float
    padding_id: int
    positions: int


def parse_encoder_config(raw: Json) -> EncoderConfig:
    """Read a `config.json`; raises `UnsupportedModel` that names the value which has no graph here."""
    model_type = raw.get("model_type")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        raise UnsupportedModel(
            f"config.json has model_type {model_type!r}, which can't be converted to ONNX; "
            f"convert one of {', '.join(FAMILIES)}, or bring the model as ONNX"
        )
    _refuse_variants(raw)
    hidden_size, heads = _count(raw, family.keys.hidden_size), _count(raw, family.keys.heads)
    if hidden_size % heads:
        raise UnsupportedModel(f"config.json has {heads} attention heads, which do not divide {hidden_size}")
    return EncoderConfig(
        family=family,
        hidden_size=hidden_size,
        layers=_count(raw, family.keys.layers),
        heads=heads,
        activation=_activation(raw, family.keys.activation),
        norm_epsilon=_norm_epsilon(raw),
        padding_id=_count(raw, "pad_token_id", default=0, least=0),
        positions=_count(raw, "max_position_embeddings"),
    )


def _refuse_variants(raw: Json) -> None:
    position_type = raw.get("position_embedding_type", "absolute")
    if position_type != "absolute":
        raise UnsupportedModel(
            f"config.json has position_embedding_type {position_type!r}; only 'absolute' can be converted to ONNX"
        )
    for flag in ("is_decoder", "add_cross_attention"):
        if raw.get(flag):
            raise UnsupportedModel(f"config.json sets {flag}; only encoders can be converted to ONNX")


def _activation(raw: Json, key: str) -> Activation:
    name = raw.get(key, "gelu")
    activation = ACTIVATIONS.get(name) if isinstance(name, str) else None
    if activation is None:
        raise UnsupportedModel(f"config.json has {key} {name!r}; the known ones are {', '.join(ACTIVATIONS)}")
    return activation


def _count(raw: Json, key: str, *, default: int | None = None, least: int = 1) -> int:
    value = raw.get(key, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UnsupportedModel(f"config.json has {key} {value!r}; a whole number of at least {least} is needed")
    return value


def _norm_epsilon(raw: Json) -> float:
    value = raw.get("layer_norm_eps", 1e-12)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise UnsupportedModel(f"config.json has layer_norm_eps {value!r}; a number from 0 to below 1 is needed")
    return float(value)
