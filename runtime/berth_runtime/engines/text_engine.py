"""The engine for the tasks on texts: tokenizer, graph, and the threads that batch, put together for one model.

Created by `berth_runtime.engines.onnxruntime`.
"""

from typing import Final

from berth_runtime.engines.first_reply import FirstReply
from berth_runtime.engines.onnx_providers import CPU
from berth_runtime.engines.onnx_session import open_session
from berth_runtime.engines.protocol import (
    OTHER_OPERATION,
    Capabilities,
    EngineSettings,
    LoadFailed,
    Reply,
    Request,
    Rows,
)
from berth_runtime.engines.text_graph import TextGraph, read_shape
from berth_runtime.engines.text_plan import batch_limits, flag, max_tokens, provider
from berth_runtime.engines.text_scheduler import TextScheduler
from berth_runtime.engines.text_tasks import TEXT_TASKS, TextTask
from berth_runtime.engines.text_tokens import TextLimits, TextTokenizer, load_tokenizer

# Requests in the window at once when the user names no number: enough to find neighbours of a length.
PARALLEL_REQUESTS: Final = 128

# Threads that keep a GPU busy: one computes while the other pads the next batch and answers the last.
GPU_THREADS: Final = 2


class TextEngine:
    """One model for texts; its task is one of `TEXT_TASKS`."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._task: TextTask | None = None
        self._scheduler: TextScheduler | None = None

    def load(self) -> Capabilities:
        """Read tokenizer and weights, check that they fit together, and start the threads."""
        settings, args = self._settings, self._settings.args
        task = TEXT_TASKS[settings.task](settings)
        word = provider(args)
        session = open_session(task.graph(), provider=word)
        shape = read_shape(session, task.output)
        task.fit(shape)
        limits = TextLimits(
            max_tokens=max_tokens(settings, shape, task.max_sequence_length),
            truncate=flag(args, "truncate", default=task.truncates),
        )
        tokenizer = self._load_tokenizer(limits, task)
        graph = TextGraph(session, shape, task.head(tokenizer), padding_id=tokenizer.padding_id)
        gpu = session.get_providers()[0] != CPU
        threads = min(GPU_THREADS, settings.threads) if gpu else settings.threads
        self._scheduler = TextScheduler(tokenizer, graph, batch_limits(shape, gpu=gpu), threads=threads)
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
