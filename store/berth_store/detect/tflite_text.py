"""Which inputs and outputs of a TFLite graph belong to texts. Pure; detection and the engine ask.

Converters call inputs by the names of a signature, and tensors by its key and that name: `serving_default_input_ids:0`.
transformers, TensorFlow's own models and the library for tasks have each their own words for the same inputs.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from berth_api.artifact import Task
from berth_store.detect.graph_names import LOGIT_NAMES, TEXT_VECTOR_NAMES, TOKEN_VECTOR_NAMES, TOKENS_NAME
from berth_store.headers.tflite import TfliteHeader, TfliteTensor

MASK = "attention_mask"
# The words for each input, by the one that transformers has.
WORDS: Mapping[str, tuple[str, ...]] = {
    TOKENS_NAME: (TOKENS_NAME, "input_word_ids", "ids"),
    MASK: (MASK, "input_mask", "mask"),
    "token_type_ids": ("token_type_ids", "input_type_ids", "segment_ids"),
    "position_ids": ("position_ids",),
}
INTEGERS = frozenset({"INT32", "INT64"})
FLOATS = frozenset({"FLOAT32", "FLOAT16"})
STEPS = frozenset({"INT8", "UINT8", "INT16"})
# Outputs that are no vectors of a text, whatever their shape: BERT's pooler is for guessing the next sentence.
OTHER_OUTPUTS = frozenset({*LOGIT_NAMES, "pooler_output"})
# Beyond these, shapes are lies.
MAX_TOKENS = 1 << 17
MAX_WIDTH = 1 << 16
MAX_SHOWN = 8
_DEFAULT_KEY = "serving_default"
_NUMBER = re.compile(r":\d+$")


@dataclass(frozen=True)
class TextInputs:
    """The inputs by their words in transformers, and the `length` in tokens that they are made for; None is any."""

    tensors: Mapping[str, TfliteTensor]
    length: int | None


def text_inputs(header: TfliteHeader) -> TextInputs | None:
    """What the graph takes, if that is the tokens of one text and nothing that is not understood."""
    if not _take_numbers(header.inputs):
        return None
    sizes = {each.signature[1] for each in header.inputs}
    tensors = _by_word(header)
    if len(sizes) > 1 or TOKENS_NAME not in tensors or len(tensors) != len(header.inputs):
        return None
    (length,) = sizes
    return TextInputs(tensors, length if length > 0 else None)


def text_vector(header: TfliteHeader) -> TfliteTensor | None:
    """The output that is the text's own vector: by its name, else the only output of all."""
    named = _named(header, TEXT_VECTOR_NAMES, rank=2)
    if named is not None:
        return named
    formed = _unnamed(header, rank=2)
    return formed[0] if formed and len(header.outputs) == 1 else None


def token_vectors(header: TfliteHeader) -> TfliteTensor | None:
    """The output with a vector for each token: by its name, else the only one of its form."""
    named = _named(header, TOKEN_VECTOR_NAMES, rank=3)
    if named is not None:
        return named
    formed = _unnamed(header, rank=3)
    return formed[0] if len(formed) == 1 else None


def holds_vectors(tensor: TfliteTensor, rank: int) -> bool:
    """Whether an output has one vector for the text (rank 2), or one for each token (rank 3)."""
    numbers = tensor.element_type in FLOATS or (tensor.element_type in STEPS and tensor.scale > 0)
    if not numbers or not len(tensor.signature) == len(tensor.shape) == rank:
        return False
    width = tensor.signature[-1]
    return tensor.signature[0] in (1, -1) and (width == -1 or 0 < width <= MAX_WIDTH)


def output_name(header: TfliteHeader, output: TfliteTensor) -> str:
    """What an output is called: in a signature, else by itself."""
    return _signature_names(header, inputs=False).get(output.index) or output.name


def stated_text_task(header: TfliteHeader, *, makes_vectors: bool, compares_pairs: bool) -> Task | None:
    """Embedding, where nothing else can be meant: `makes_vectors` is what the files beside the graph say.

    A graph with an unnamed row for each text may just as well classify.
    """
    if compares_pairs or text_inputs(header) is None:
        return None
    if _named(header, TEXT_VECTOR_NAMES, rank=2):
        return Task.EMBEDDING
    return Task.EMBEDDING if makes_vectors and (text_vector(header) or token_vectors(header)) else None


def why_no_vectors(header: TfliteHeader) -> str | None:
    """Why the graph makes no vectors of texts, as the end of a sentence that begins with it; None if it does."""
    if not _take_numbers(header.inputs):
        return f"takes {shown(header.inputs)}, and not the numbers of one text's tokens (INT32 or INT64 [1, length])"
    if len({each.signature[1] for each in header.inputs}) > 1:
        return f"takes {shown(header.inputs)}, and texts have one length in all inputs"
    if text_inputs(header) is None:
        words = ", ".join(WORDS)
        return f"takes {shown(header.inputs)}, of which it can't be told which are {words}"
    if text_vector(header) is None and token_vectors(header) is None:
        return (
            f"gives {shown(header.outputs)}, of which none is known as a vector of the text ({TEXT_VECTOR_NAMES[0]}, "
            f"[1, width]) or of its tokens ({TOKEN_VECTOR_NAMES[1]}, [1, length, width])"
        )
    return None


def shown(tensors: tuple[TfliteTensor, ...]) -> str:
    """Names, types and shapes, for errors; a name is a foreign text."""
    first = [f"{ascii(each.name)[1:-1]} {form(each)}" for each in tensors[:MAX_SHOWN]]
    more = f" and {len(tensors) - MAX_SHOWN} more" if len(tensors) > MAX_SHOWN else ""
    return ", ".join(first) + more


def form(tensor: TfliteTensor) -> str:
    """Type and shape, for errors; a size of -1 may differ between calls."""
    return f"{tensor.element_type} {list(tensor.signature)}"


def _by_word(header: TfliteHeader) -> dict[str, TfliteTensor]:
    """The inputs whose meaning is known. Where one alone is not, and the tokens are missing, it can be nothing else."""
    found: dict[str, TfliteTensor] = {}
    open_ones = []
    for tensor, names in zip(header.inputs, _input_names(header), strict=True):
        word = next((word for name in names for word, others in WORDS.items() if name in others), None)
        if word is None:
            open_ones.append(tensor)
        else:
            found.setdefault(word, tensor)
    if TOKENS_NAME not in found and len(open_ones) == 1:
        found[TOKENS_NAME] = open_ones[0]
    return found


def _input_names(header: TfliteHeader) -> Iterator[tuple[str, ...]]:
    """What each input is called: in a signature, in the metadata, by itself."""
    called = _signature_names(header, inputs=True)
    described = header.metadata.inputs if header.metadata else ()
    in_metadata = [each.name for each in described] if len(described) == len(header.inputs) else []
    for number, tensor in enumerate(header.inputs):
        yield (called.get(tensor.index, ""), *in_metadata[number : number + 1], _plain(tensor.name, header))


def _signature_names(header: TfliteHeader, *, inputs: bool) -> dict[int, str]:
    """Names by the tensors' numbers; the first signature of the graph that is run wins."""
    names: dict[int, str] = {}
    for each in header.signatures:
        for name, index in (each.inputs if inputs else each.outputs) if each.subgraph == 0 else ():
            names.setdefault(index, name)
    return names


def _plain(name: str, header: TfliteHeader) -> str:
    """A tensor's name without what the converter put round it."""
    inner = _NUMBER.sub("", name)
    for key in (*(each.key for each in header.signatures), _DEFAULT_KEY):
        if inner.startswith(f"{key}_"):
            return inner.removeprefix(f"{key}_")
    return inner


def _named(header: TfliteHeader, names: tuple[str, ...], *, rank: int) -> TfliteTensor | None:
    fitting = _with_names(header, rank)
    return next((each for name in names for each, called in fitting if name in called), None)


def _unnamed(header: TfliteHeader, *, rank: int) -> list[TfliteTensor]:
    """The outputs of this form whose names don't say that they are something else."""
    known = {*OTHER_OUTPUTS, *TEXT_VECTOR_NAMES, *TOKEN_VECTOR_NAMES}
    return [each for each, called in _with_names(header, rank) if not known & called]


def _with_names(header: TfliteHeader, rank: int) -> list[tuple[TfliteTensor, set[str]]]:
    """The outputs of this form, with all that each is called."""
    called = _signature_names(header, inputs=False)
    fitting = [each for each in header.outputs if holds_vectors(each, rank)]
    return [(each, {called.get(each.index, ""), _plain(each.name, header)}) for each in fitting]


def _take_numbers(tensors: tuple[TfliteTensor, ...]) -> bool:
    return len(tensors) <= len(WORDS) and all(map(_takes_numbers, tensors))


def _takes_numbers(tensor: TfliteTensor) -> bool:
    if tensor.element_type not in INTEGERS or not len(tensor.signature) == len(tensor.shape) == 2:
        return False
    rows, length = tensor.signature
    return rows in (1, -1) and (length == -1 or 0 < length <= MAX_TOKENS)
