"""An engine that does in a worker process what the request's text tells it; no model, no library.

It serves its task. The last words of a prompt, message, query or first text are orders, separated by spaces:

    words=5          events to send (3)
    pause=0.1        seconds before each event (0)
    until=/tmp/gate  wait before event `hold_at` (0) until that file exists, deaf to a client that leaves meanwhile
    fail_at=0        end with an error before event 0; `status=400` is its status (500)
    die_at=2         end the process with status 9 before event 2; `say=…` is written to stderr first
    big=100000       length of each event's text

The engine argument `load` says what happens on load: `refuse` (the engine knows why), `die` (only stderr knows),
`crash` (nobody knows), `mute` (no proof of an answer); `until` is a file
without which loading does not end; `places` is how many requests it takes at once (2). `answer=broken` makes it answer
in no agreed form, `matryoshka=true` lets its vectors be cut.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from fake_worker_answers import (
    LABELS,
    Answer,
    answer_classes,
    answer_entities,
    answer_pictures,
    answer_rerank,
    answer_vectors,
)

from berth_api.artifact import Task
from berth_runtime.engines.protocol import (
    OTHER_OPERATION,
    Capabilities,
    ChatRequest,
    ClassificationRequest,
    CompletionRequest,
    EmbeddingRequest,
    EngineSettings,
    Failure,
    ImageRequest,
    LoadFailed,
    Operation,
    Reply,
    Request,
    RerankRequest,
    Rows,
    Usage,
)

OPERATIONS = {
    Task.EMBEDDING: Operation.EMBEDDING,
    Task.RERANK: Operation.RERANK,
    Task.TEXT_CLASSIFICATION: Operation.CLASSIFICATION,
    Task.TOKEN_CLASSIFICATION: Operation.CLASSIFICATION,
    Task.IMAGE_CLASSIFICATION: Operation.IMAGE_CLASSIFICATION,
    Task.OBJECT_DETECTION: Operation.OBJECT_DETECTION,
    Task.TEXT_RECOGNITION: Operation.TEXT_RECOGNITION,
}
GENERATION = frozenset({"stream", "stream_options", "max_tokens", "n", "chat_template_kwargs"})


def create(settings: EngineSettings) -> "FakeWorkerEngine":
    return FakeWorkerEngine(settings)


class FakeWorkerEngine:
    """Keeps the contract of `berth_runtime.engines.protocol.Engine`, a thread for each request."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings

    def load(self) -> Capabilities:
        if "until" in self._settings.args:
            _wait_for(Path(self._settings.args["until"]))
        order = self._settings.args.get("load")
        if order == "refuse":
            raise LoadFailed("this model has no heart")
        if order == "die":
            sys.stderr.write("error loading model: unknown model architecture: 'lxama'\n")
            os._exit(70)
        if order == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        operation = OPERATIONS.get(self._settings.task)
        generation = {Operation.CHAT: GENERATION, Operation.COMPLETION: GENERATION}
        more = frozenset({"dimensions"}) if "matryoshka" in self._settings.args else frozenset[str]()
        return Capabilities(
            parameters={operation: more} if operation else generation,
            parallel_requests=int(self._settings.args.get("places", "2")),
            context_length=64,
            dimensions=4 if operation is Operation.EMBEDDING else None,
            labels=LABELS,
        )

    def prove(self) -> None:
        if self._settings.args.get("load") == "mute":
            raise LoadFailed("the model was loaded, but gave no answer")

    def submit(self, request: Request, reply: Reply) -> None:
        threading.Thread(target=self._answer, args=(request, reply), daemon=True).start()

    def _answer(self, request: Request, reply: Reply) -> None:
        if isinstance(request, ChatRequest | CompletionRequest):
            self._generate(request, reply)
        elif not _stop_at(0, _orders(_first_text(request)), reply):
            self._end(self._answer_to(request), reply)

    def _answer_to(self, request: Request) -> Answer:
        """Whatever is no generation."""
        match request:
            case EmbeddingRequest():
                return answer_vectors(request)
            case RerankRequest():
                return answer_rerank(request)
            case ClassificationRequest() if self._settings.task is Task.TOKEN_CLASSIFICATION:
                return answer_entities(request)
            case ClassificationRequest():
                return answer_classes(request)
            case ImageRequest():
                return answer_pictures(request)
        return OTHER_OPERATION

    def _end(self, answer: Answer, reply: Reply) -> None:
        broken = self._settings.args.get("answer") == "broken"
        match answer:
            case Failure():
                reply.fail(answer)
            case Rows():
                reply.rows(Rows(b"\0\0\xc0\x7f", 1) if broken else answer)  # the four bytes are no number
            case bytes():
                reply.chunk(b'[{"no": "form"}]' if broken else answer)
                reply.finish(Usage(prompt_tokens=7))

    def _generate(self, request: ChatRequest | CompletionRequest, reply: Reply) -> None:
        body = json.loads(request.body)
        chat = isinstance(request, ChatRequest)
        text = body["messages"][-1]["content"] if chat else body["prompt"]
        orders = _orders(text)
        words = int(orders.get("words", "3"))
        sent = []
        for index in range(words):
            time.sleep(float(orders.get("pause", "0")))
            _hold_at(index, orders)
            if reply.gone:
                break
            if _stop_at(index, orders, reply):
                return
            sent.append(f"word{index} " + "x" * int(orders.get("big", "0")))
            if request.stream:
                reply.chunk(_event(body["model"], sent[-1], chat))
        usage = Usage(prompt_tokens=len(text.split()), generated_tokens=len(sent))
        if request.stream and body.get("stream_options", {}).get("include_usage") and sent:
            reply.chunk(_last_event(body["model"], chat, usage))
        if not request.stream and sent:
            reply.chunk(_whole(body["model"], "".join(sent), chat, usage))
        reply.finish(usage)


def _orders(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def _first_text(request: Request) -> str:
    match request:
        case RerankRequest(query):
            return query
        case ClassificationRequest(inputs):
            return inputs[0]
    return ""


def _hold_at(index: int, orders: dict[str, str]) -> None:
    if "until" in orders and orders.get("hold_at", "0") == str(index):
        _wait_for(Path(orders["until"]))


def _wait_for(gate: Path) -> None:
    while not gate.exists():
        time.sleep(0.005)


def _stop_at(index: int, orders: dict[str, str], reply: Reply) -> bool:
    if orders.get("die_at") == str(index):
        sys.stderr.write(orders.get("say", "the fake engine dies as it was told") + "\n")
        sys.stderr.flush()
        os._exit(9)
    if orders.get("fail_at") == str(index):
        reply.fail(Failure(int(orders.get("status", "500")), "told_to_fail", "The fake engine fails as it was told."))
        return True
    return False


def _event(model: str, text: str, chat: bool) -> bytes:
    part = {"delta": {"content": text}} if chat else {"text": text}
    head = {"id": "fake", "object": "chat.completion.chunk" if chat else "text_completion", "created": 0}
    return json.dumps({**head, "model": model, "choices": [{"index": 0, "finish_reason": None, **part}]}).encode()


def _last_event(model: str, chat: bool, usage: Usage) -> bytes:
    event = json.loads(_event(model, "", chat))
    return json.dumps({**event, "choices": [], "usage": _counted(usage)}).encode()


def _counted(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.generated_tokens,
        "total_tokens": usage.prompt_tokens + usage.generated_tokens,
    }


def _whole(model: str, text: str, chat: bool, usage: Usage) -> bytes:
    part = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return json.dumps(
        {
            "id": "fake",
            "object": "chat.completion" if chat else "text_completion",
            "created": 0,
            "model": model,
            "choices": [{"index": 0, "finish_reason": "stop", **part}],
            "usage": _counted(usage),
        }
    ).encode()
