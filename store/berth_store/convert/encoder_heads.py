"""What stands on top of an encoder, by its task: vectors, the classes of a whole text, the classes of its tokens. Pure.

Each function makes a `Head` of `berth_store.convert.encoder_graph`. The arithmetic is that of the classes
`...ForSequenceClassification` and `...ForTokenClassification` of transformers, and of the modules of
sentence-transformers.
"""

from collections.abc import Mapping

from berth_api.artifact import Task
from berth_store.convert.encoder_config import SequenceHead
from berth_store.convert.encoder_graph import Encoder, Head, Hidden
from berth_store.convert.onnx_graph import GraphWriter
from berth_store.detect import Pooling

# The poolings that the graph can do by itself; for another one the engine pools `last_hidden_state`.
POOLINGS = frozenset({Pooling.MEAN, Pooling.CLS})

# The divisors' floors of sentence-transformers and of torch.nn.functional.normalize.
SMALLEST_COUNT = 1e-9
SMALLEST_NORM = 1e-12


def vectors_head(*, pooling: Pooling | None, normalize: bool) -> Head:
    """The output `last_hidden_state`, and `sentence_embedding` where `pooling` is one of `POOLINGS`."""

    def head(encoder: Encoder, hidden: Hidden) -> None:
        graph, size = encoder.graph, encoder.config.hidden_size
        graph.output("last_hidden_state", hidden.vectors, ("batch", "sequence", size))
        if pooling in POOLINGS:
            vector = _pool(graph, hidden, pooling)
            graph.output("sentence_embedding", _normalize(graph, vector) if normalize else vector, ("batch", size))

    return head


def classes_of_text(encoder: Encoder, hidden: Hidden) -> None:
    """The output `logits` (batch, labels), from the first token's vector."""
    graph, size, kind = encoder.graph, encoder.config.hidden_size, encoder.config.family.sequence_head
    first = graph.op("Gather", hidden.vectors, graph.integer(0), axis=1)
    dense = encoder.linear(first, kind, (size, size))
    pooled = graph.op("Relu" if kind is SequenceHead.PRE_CLASSIFIER else "Tanh", dense)
    name = "classifier.out_proj" if kind is SequenceHead.CLASSIFIER_DENSE else "classifier"
    logits, labels = encoder.sized_linear(pooled, name, (None, size))
    graph.output("logits", logits, ("batch", labels))


def classes_of_tokens(encoder: Encoder, hidden: Hidden) -> None:
    """The output `logits` (batch, sequence, labels)."""
    logits, labels = encoder.sized_linear(hidden.vectors, "classifier", (None, encoder.config.hidden_size))
    encoder.graph.output("logits", logits, ("batch", "sequence", labels))


CLASSIFIERS: Mapping[Task, Head] = {
    Task.RERANK: classes_of_text,
    Task.TEXT_CLASSIFICATION: classes_of_text,
    Task.TOKEN_CLASSIFICATION: classes_of_tokens,
}
"""The head of each task whose graph ends with logits."""


def _pool(graph: GraphWriter, hidden: Hidden, pooling: Pooling | None) -> str:
    if pooling is Pooling.CLS:
        return graph.op("Gather", hidden.vectors, graph.integer(0), axis=1)
    real = graph.op("Unsqueeze", hidden.mask, graph.integers(2))
    total = graph.op("ReduceSum", graph.op("Mul", hidden.vectors, real), graph.integers(1), keepdims=0)
    count = graph.op("ReduceSum", real, graph.integers(1), keepdims=0)
    return graph.op("Div", total, graph.op("Max", count, graph.number(SMALLEST_COUNT)))


def _normalize(graph: GraphWriter, vector: str) -> str:
    length = graph.op("ReduceL2", vector, graph.integers(1), keepdims=1)
    return graph.op("Div", vector, graph.op("Max", length, graph.number(SMALLEST_NORM)))
