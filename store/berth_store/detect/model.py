"""What detection says of a file or folder: `DetectedModel` or `DetectedAdapter`, which the other rooms work with.

`berth_runtime` loads by it, `berth_cli` and `berth_api.engines` choose an engine by its `artifact`, packaging writes
its configuration from it. It holds paths and facts only; nothing here reads a file.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from berth_api.artifact import Artifact, Format, Task
from berth_store.detect.picture_settings import PictureSettings


class Pooling(StrEnum):
    """How the vectors of the tokens become the vector of the text."""

    IN_GRAPH = "in-graph"  # the graph's own output is the text's vector already
    MEAN = "mean"
    CLS = "cls"
    LAST = "last"
    MAX = "max"
    MEAN_SQRT_LENGTH = "mean-sqrt-length"
    WEIGHTED_MEAN = "weighted-mean"


@dataclass(frozen=True)
class EmbeddingSettings:
    """How an embedding model wants to be run.

    `pooling` is None where the artifact does not say: an engine must then be told, or refuse; it never guesses.
    `normalize` asks for vectors of length 1 (on an in-graph vector that is harmless when the graph did it already).
    `output` is the graph's output to take: the text's vector for `IN_GRAPH`, else the vectors of the tokens.
    `default_prompt` stands before every text; `include_prompt` says whether its tokens take part in the pooling.
    """

    pooling: Pooling | None
    normalize: bool = False
    max_sequence_length: int | None = None
    dimensions: int | None = None
    output: str | None = None
    default_prompt: str = ""
    include_prompt: bool = True


class Problem(StrEnum):
    """How a classifier's classes stand to one another, in the words of `problem_type` in config.json."""

    SINGLE_LABEL = "single_label_classification"  # exactly one of them is right: their probabilities add up to 1
    MULTI_LABEL = "multi_label_classification"  # each is right or wrong by itself
    REGRESSION = "regression"  # they are numbers and no classes


@dataclass(frozen=True)
class ClassifierSettings:
    """How a model that gives classes or scores wants to be run; `output` is the graph's output with the logits."""

    problem: Problem = Problem.SINGLE_LABEL
    max_sequence_length: int | None = None
    output: str | None = None


@dataclass(frozen=True)
class DecoderSettings:
    """How an ONNX graph that writes text is driven: the names of its inputs and outputs, and its cache.

    The `*_keys` and `*_values` are the names of each layer's part of the cache, which is
    `[sequences, kv_heads, tokens, head_size]` of `cache_type` (`F32` or `F16`). `positions` is the input with the
    positions, None where the graph counts them itself. A text ends with any of `end_tokens`. `bos` and `eos` are the
    marks that chat templates write. `temperature`, `top_p` and `top_k` are what the model's makers sample with, where
    they say so.
    """

    tokens: str
    mask: str
    positions: str | None
    logits: str
    past_keys: tuple[str, ...]
    past_values: tuple[str, ...]
    present_keys: tuple[str, ...]
    present_values: tuple[str, ...]
    heads: int
    kv_heads: int
    head_size: int
    cache_type: str
    vocabulary: int
    end_tokens: tuple[int, ...]
    bos: str = ""
    eos: str = ""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None

    @property
    def cache_numbers_per_token(self) -> int:
        """The keys and values of one token, over all layers."""
        return len(self.past_keys) * 2 * self.kv_heads * self.head_size


@dataclass(frozen=True)
class DetectedModel:
    """A model that was found, with all that its own files say.

    `weights` are the files with weights, the one to hand to the engine first; all lie in `root` by name.
    `tokenizer` is a `tokenizer.json`. `chat_template` is Jinja text. `labels` are a classifier's classes by index, or a
    text recogniser's characters (the first is the blank). `picture` says how a model that looks at pictures wants them.
    `classifier` belongs to the tasks that give classes, of texts and of pictures. `decoder` says how an ONNX graph that
    writes text is driven.
    `projector` is the multimodal part that belongs to a GGUF. `remote_code` names the Python that the model asks to
    run (never run by detection; it needs the user's consent). `notes` say what was passed over and how to choose it.
    """

    artifact: Artifact
    root: Path
    weights: tuple[Path, ...]
    tokenizer: Path | None = None
    chat_template: str | None = None
    embedding: EmbeddingSettings | None = None
    classifier: ClassifierSettings | None = None
    labels: tuple[str, ...] = ()
    picture: PictureSettings | None = None
    decoder: DecoderSettings | None = None
    projector: Path | None = None
    remote_code: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def format(self) -> Format:
        """The format of the weights."""
        return self.artifact.format

    @property
    def task(self) -> Task:
        """What the model does; never `Auto`."""
        return self.artifact.task


@dataclass(frozen=True)
class DetectedAdapter:
    """An adapter (LoRA) that was found. The task of its `artifact` is `Auto`, its architecture that of its model.

    `weights` is its one file, which lies in `root`; `rank` is the greatest of its matrices.
    """

    artifact: Artifact
    root: Path
    weights: tuple[Path, ...]
    rank: int
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """What an engine is given: the file of a GGUF; the folder of safetensors, for their settings."""
        return self.weights[0] if self.artifact.format is Format.GGUF else self.root
