"""An engine that does in a worker process what the request's text tells it; no model, no library.

The last words of a prompt or message are orders, separated by spaces:

    words=5          events to send (3)
    pause=0.1        seconds before each event (0)
    until=/tmp/gate  wait before event `hold_at` (0) until that file exists, deaf to a client that leaves meanwhile
    fail_at=0        end with an error before event 0; `status=400` is its status (500)
    die_at=2         end the process with status 9 before event 2; `say=…` is written to stderr first
    big=100000       length of each event's text

The engine argument `load` says what happens on load: `refuse` (the engine knows why), `die` (only stderr knows),
`crash` (nobody knows), `mute` (no proof of an answer); `until` is a file
without which loading does not end; `places` is how many requests it takes at once (2).
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from berth_api.artifact import Task
from berth_runtime.engines.protocol import (
    OTHER_OPERATION,
    Capabilities,
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    EngineSettings,
    Failure,
    LoadFailed,
    Operation,
    Reply,
    Request,
    Rows,
    Usage,
)

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
        embeds = self._settings.task is Task.EMBEDDING
        generation = {Operation.CHAT: GENERATION, Operation.COMPLETION: GENERATION}
        return Capabilities(
            parameters={Operation.EMBEDDING: frozenset({"encoding_format"})} if embeds else generation,
            parallel_requests=int(self._settings.args.get("places", "2")),
            context_length=64,
            dimensions=4 if embeds else None,
        )

    def prove(self) -> None:
        if self._settings.args.get("load") == "mute":
            raise LoadFailed("the model was loaded, but gave no answer")

    def submit(self, request: Request, reply: Reply) -> None:
        threading.Thread(target=self._answer, args=(request, reply), daemon=True).start()

    def _answer(self, request: Request, reply: Reply) -> None:
        if isinstance(request, EmbeddingRequest):
            reply.rows(_embed(request))
            return
        if not isinstance(request, ChatRequest | CompletionRequest):
            reply.fail(OTHER_OPERATION)
            return
        body = json.loads(request.body)
        chat = isinstance(request, ChatRequest)
        text = body["messages"][-1]["content"] if chat else body["prompt"]
        orders = dict(word.split("=", 1) for word in text.split() if "=" in word)
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
        if not request.stream and sent:
            reply.chunk(_whole(body["model"], "".join(sent), chat))
        reply.finish(Usage(prompt_tokens=len(text.split()), generated_tokens=len(sent)))


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
    return json.dumps({"model": model, "choices": [{"index": 0, "finish_reason": None, **part}]}).encode()


def _whole(model: str, text: str, chat: bool) -> bytes:
    part = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    choice = {"index": 0, "finish_reason": "stop", **part}
    return json.dumps({"id": "fake", "model": model, "choices": [choice], "usage": {}}).encode()


def _embed(request: EmbeddingRequest) -> Rows:
    import numpy as np

    rows = [[len(each), index, 0.5, -1] for index, each in enumerate(request.inputs)]
    return Rows(np.asarray(rows, dtype="<f4").tobytes(), 4, sum(len(each) for each in request.inputs))
