"""`GgufHeader`: what a GGUF file says of itself, as a value. `berth_store.headers.gguf` makes it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from berth_store.headers.gguf_types import FILE_TYPES, PoolingType, TensorType, ValueType

# A flag in `general.file_type`: the writer guessed it.
GUESSED_FILE_TYPE = 1024


@dataclass(frozen=True)
class ArrayLength:
    """An array too long to be kept: the type and number of its values."""

    type: ValueType
    length: int


@dataclass(frozen=True)
class LongString:
    """A string too long to be kept."""

    length_bytes: int


Scalar = int | float | bool | str
MetadataValue = Scalar | tuple[Scalar, ...] | ArrayLength | LongString


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor's entry; `offset` counts from the first byte of the tensors' data."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    length_bytes: int
    elements: int


@dataclass(frozen=True)
class GgufHeader:
    """All that the header says; a property is None where the file does not say it.

    `metadata` holds scalars, short strings and short arrays as they are. `data_offset` is the file's first byte of
    tensor data, `header_bytes` what had to be read.
    """

    version: int
    alignment: int
    metadata: Mapping[str, MetadataValue]
    tensors: tuple[GgufTensor, ...]
    data_offset: int
    file_bytes: int

    @property
    def architecture(self) -> str | None:
        """The architecture's own name, such as `llama`."""
        return self._text("general.architecture")

    @property
    def name(self) -> str | None:
        """The model's name for people."""
        return self._text("general.name")

    @property
    def kind(self) -> str | None:
        """What sort of file it is: `model`, `adapter`, `imatrix`, `mmproj`."""
        return self._text("general.type")

    @property
    def parameters(self) -> int:
        """Number of weights in this file."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def quantization(self) -> str | None:
        """The file type's name, or else the type of most weights."""
        stated = self._number("general.file_type")
        if stated is not None and (name := FILE_TYPES.get(stated & ~GUESSED_FILE_TYPE)):
            return name
        elements: Counter[str] = Counter()
        for tensor in self.tensors:
            elements[tensor.type.name] += tensor.elements
        return elements.most_common(1)[0][0] if elements else None

    @property
    def context_length(self) -> int | None:
        """The longest sequence, in tokens, that the model was trained on."""
        return self._of_architecture("context_length")

    @property
    def embedding_length(self) -> int | None:
        """Numbers in a token's vector."""
        return self._of_architecture("embedding_length")

    @property
    def block_count(self) -> int | None:
        """Number of layers."""
        return self._of_architecture("block_count")

    @property
    def head_count(self) -> int | None:
        """Attention heads; the most of any layer where they differ."""
        return self._of_architecture("attention.head_count")

    @property
    def head_count_kv(self) -> int | None:
        """Key-value heads; the most of any layer where they differ."""
        return self._of_architecture("attention.head_count_kv")

    @property
    def causal(self) -> bool | None:
        """Whether a token sees only those before it."""
        value = self.metadata.get(f"{self.architecture}.attention.causal")
        return value if isinstance(value, bool) else None

    @property
    def pooling_type(self) -> PoolingType | None:
        """How token vectors become one, for an embedding model; a number without a meaning counts as unsaid."""
        stated = self._of_architecture("pooling_type")
        return PoolingType(stated) if stated is not None and stated in set(PoolingType) else None

    @property
    def vocabulary_size(self) -> int | None:
        """Number of tokens."""
        stated = self._of_architecture("vocab_size")
        return stated if stated is not None else self._length("tokenizer.ggml.tokens")

    @property
    def classifier_labels(self) -> tuple[str, ...]:
        """The classes of a classifier's head."""
        value = self.metadata.get(f"{self.architecture}.classifier.output_labels")
        return tuple(str(label) for label in value) if isinstance(value, tuple) else ()

    @property
    def head_classes(self) -> int | None:
        """Number of outputs of a classifier's head; None where the file has no such head."""
        head = next((tensor for tensor in self.tensors if tensor.name == "cls.output.weight"), None)
        if head is None:
            return None
        return head.shape[1] if len(head.shape) > 1 else 1

    @property
    def rerank_template(self) -> str | None:
        """The prompt of a reranker, with places for query and document."""
        return self._text("tokenizer.chat_template.rerank")

    @property
    def template_is_too_long(self) -> bool:
        """Whether any of the file's templates is longer than what is kept of a text."""
        return any(
            key.startswith("tokenizer.chat_template") and isinstance(value, LongString)
            for key, value in self.metadata.items()
        )

    @property
    def chat_template(self) -> str | None:
        """The Jinja text that turns messages into a prompt."""
        return self._text("tokenizer.chat_template")

    @property
    def split_count(self) -> int:
        """Number of files that the model is split into; 1 when it is whole."""
        return self._number("split.count") or 1

    @property
    def split_number(self) -> int:
        """Which of the files this is, from 0."""
        return self._number("split.no") or 0

    @property
    def split_tensor_count(self) -> int | None:
        """Number of tensors in all the files together."""
        return self._number("split.tensors.count")

    def _text(self, key: str) -> str | None:
        value = self.metadata.get(key)
        return value if isinstance(value, str) and value else None

    def _number(self, key: str) -> int | None:
        value = self.metadata.get(key)
        if isinstance(value, tuple):
            numbers = [each for each in value if type(each) is int]
            value = max(numbers) if numbers else None
        return value if type(value) is int and value >= 0 else None

    def _of_architecture(self, key: str) -> int | None:
        return self._number(f"{self.architecture}.{key}")

    def _length(self, key: str) -> int | None:
        value = self.metadata.get(key)
        if isinstance(value, ArrayLength):
            return value.length
        return len(value) if isinstance(value, tuple) else None
