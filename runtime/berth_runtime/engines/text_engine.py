"""The engine for the tasks on texts: tokenizer, model, and the threads that batch, put together for one model.

Created by `berth_runtime.engines.onnxruntime`, `torch` and `litert`, which say how the model is opened.
"""

from collections.abc import Callable
from typing import Final, Protocol

from berth_runtime.engines.engine_arguments import Library, flag
from berth_runtime.engines.first_reply import FirstReply
from berth_runtime.engines.protocol import (
    OTHER_OPERATION,
    Capabilities,
    EngineSettings,
    LoadFailed,
    Reply,
    Request,
    Rows,
)
from berth_runtime.engines.text_plan import max_tokens
from berth_runtime.engines.text_scheduler import Graph, TextScheduler
from berth_runtime.engines.text_shape import Head, OutputShape
from berth_runtime.engines.text_tasks import TEXT_TASKS, TextTask
from berth_runtime.engines.text_tokens import TextLimits, TextTokenizer, load_tokenizer
from berth_runtime.engines.text_window import BatchLimits

# Requests in the window at once when the user names no number: enough to find neighbours of a length.
PARALLEL_REQUESTS: Final = 128


class TextModel(Protocol):
    """Weights in memory, and how they are run best: by so many threads, in batches within `limits`."""

    @property
    def shape(self) -> OutputShape:
        """What the model says."""
        ...

    @property
    def limits(self) -> BatchLimits:
        """When a batch is full."""
        ...

    @property
    def threads(self) -> int:
        """How many threads run it."""
        ...

    def ready(self, head: Head, padding_id: int) -> Graph:
        """The model with what becomes of its output; short sequences are filled up with `padding_id`."""
        ...


class TextEngine:
    """One model for texts; its task is one of `TEXT_TASKS`. `open_model` raises `LoadFailed`."""

    def __init__(
        self, settings: EngineSettings, library: Library, open_model: Callable[[EngineSettings, TextTask], TextModel]
    ) -> None:
        self._settings = settings
        self._library = library
        self._open = open_model
        self._task: TextTask | None = None
        self._scheduler: TextScheduler | None = None

    def load(self) -> Capabilities:
        """Read tokenizer and weights, check that they fit together, and start the threads."""
        settings = self._settings
        task = TEXT_TASKS[settings.task](settings, self._library)
        model = self._open(settings, task)
        task.fit(model.shape)
        limits = TextLimits(
            max_tokens=max_tokens(settings, model.shape, task.max_sequence_length),
            truncate=flag(settings.args, "truncate", default=task.truncates),
        )
        tokenizer = self._load_tokenizer(limits, task)
        graph = model.ready(task.head(tokenizer), tokenizer.padding_id)
        self._scheduler = TextScheduler(tokenizer, graph, model.limits, threads=model.threads)
        self._scheduler.start()
        self._task = task
        return Capabilities(
            parameters={task.operation: task.parameters},
            parallel_requests=settings.parallel_sequences or PARALLEL_REQUESTS,
            context_length=limits.max_tokens,
            dimensions=task.dimensions,
            labels=task.labels,
        )

    def _load_tokenizer(self, limits: TextLimits, task: TextTask) -> TextTokenizer:
        path = self._settings.model.tokenizer
        if path is None:
            raise LoadFailed("there is no tokenizer.json beside the weights; save the tokenizer in its fast form there")
        return load_tokenizer(path, limits, prompt=task.prompt, spans=task.spans)

    def prove(self) -> None:
        """Answer one request, as if a client had sent it, and look at the answer."""
        assert self._task is not None
        proof = _Proof()
        self.submit(self._task.proof, proof)
        proof.wait()
        self._task.check(proof.result)

    def submit(self, request: Request, reply: Reply) -> None:
        """Take one request of the task's operation."""
        begun = self._task.begin(request) if self._task is not None else None
        if self._scheduler is None or begun is None:
            reply.fail(OTHER_OPERATION)
            return
        inputs, answer = begun
        self._scheduler.submit(inputs, answer, reply)


class _Proof(FirstReply):
    """Waits for the answer, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.result: Rows | None = None

    def rows(self, result: Rows) -> None:
        self.result = result
        super().rows(result)
