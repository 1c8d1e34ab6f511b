"""vLLM's server as far as Berth's middleware has to do with it: an ASGI application that does what a prompt orders.

The last words of a prompt or message are orders, separated by spaces:

    words=3     events to send
    hold=1      wait for `FakeVllm.gate` before event 1
    error=400   answer with that status, in vLLM's form; `message=…` with underscores for blanks, `param=…`
    fail_at=1   an error event instead of event 1, and then `[DONE]`, which is what vLLM does
    abort_at=1  a `finish_reason` of `abort` at event 1, and then `[DONE]`
    stop_at=1   the stream ends before event 1, without `[DONE]`
    raise_at=1  an exception before event 1 (0: before the head)
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from berth_api.artifact import Task
from berth_runtime.vllm.asgi import Message, Receive, Scope, Send
from berth_runtime.vllm.link import Link, Word
from berth_runtime.vllm.middleware import Front
from berth_runtime.vllm.settings import FrontSettings

DEADLINE_SECONDS = 10.0
Json = dict[str, Any]
OPEN_IN_VLLM = {"/metrics", "/pause", "/sleep", "/v1/load_lora_adapter", "/collective_rpc", "/invocations", "/tokenize"}


class FakeVllm:
    """Counts what reaches it, and keeps what it was asked."""

    def __init__(self, *, places: int = 4, proof_fails: int = 0) -> None:
        scheduler, model = SimpleNamespace(max_num_seqs=places), SimpleNamespace(max_model_len=2048, embedding_size=8)
        self.engine_client = SimpleNamespace(errored=False)
        self.state = SimpleNamespace(
            engine_client=self.engine_client,
            vllm_config=SimpleNamespace(scheduler_config=scheduler, model_config=model),
        )
        self.asked: list[tuple[str, Json]] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.running = 0
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.metrics = (
            b'vllm:prompt_tokens_total{model_name="m"} 5.0\nvllm:generation_tokens_total{model_name="m"} 7.0\n'
        )
        self._proof_fails = proof_fails

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["path"] == "/metrics":
            await answer(send, 200, self.metrics)
            return
        body = json.loads((await receive())["body"])
        self.asked.append((scope["path"], body))
        self.headers.append(dict(scope["headers"]))
        self.running += 1
        leaving = asyncio.ensure_future(receive())
        work = asyncio.ensure_future(self._work(scope["path"], body, send))
        try:
            await asyncio.wait({leaving, work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            self.running -= 1
            self.cancelled += not work.done()
            work.cancel()
            leaving.cancel()

    async def _work(self, path: str, body: Json, send: Send) -> None:
        if self._proof_fails:
            self._proof_fails -= 1
            await answer(send, 500, b'{"error": {"message": "not yet at /opt/x.py", "code": 500}}')
            return
        orders = read_orders(body)
        if "error" in orders:
            message = orders.get("message", "wrong").replace("_", " ")
            error = {"message": message, "type": "BadRequestError", "param": orders.get("param"), "code": 0}
            await answer(send, int(orders["error"]), json.dumps({"error": error}).encode())
        elif path == "/v1/embeddings":
            data = [{"object": "embedding", "index": 0, "embedding": [1.0] * 8}]
            await answer(send, 200, json.dumps({"object": "list", "data": data, "model": body["model"]}).encode())
        elif path == "/rerank":
            results = [{"index": 0, "document": {"text": body["documents"][0]}, "relevance_score": 0.5}]
            await answer(send, 200, json.dumps({"id": "r", "model": body["model"], "results": results}).encode())
        elif body.get("stream"):
            await self._stream(path, body, orders, send)
        else:
            await self._hold(orders, 0)
            await answer(send, 200, json.dumps(whole(path, body, orders)).encode())

    async def _stream(self, path: str, body: Json, orders: dict[str, str], send: Send) -> None:
        at = {name: int(orders.get(name, -1)) for name in ("fail_at", "abort_at", "stop_at", "raise_at")}
        if at["raise_at"] == 0:
            raise RuntimeError("a bug at /opt/vllm.py")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for index in range(int(orders.get("words", 3))):
            await self._hold(orders, index)
            if index == at["raise_at"]:
                raise RuntimeError("a bug at /opt/vllm.py")
            if index == at["stop_at"]:
                await piece(send, b"", more=False)
                return
            if index == at["fail_at"]:
                error = {"message": "EngineCore at /opt/x.py died", "type": "InternalServerError", "code": 500}
                await piece(send, event({"error": error}))
                break
            reason = "abort" if index == at["abort_at"] else None
            await piece(send, event(part(path, body, index, reason)))
            if reason:
                break
        await piece(send, b"data: [DONE]\n\n")
        await piece(send, b"", more=False)

    async def _hold(self, orders: dict[str, str], index: int) -> None:
        if int(orders.get("hold", -1)) == index:
            await self.gate.wait()


def read_orders(body: Json) -> dict[str, str]:
    """The orders in a prompt, message or input."""
    text = body.get("prompt") or body.get("input") or body.get("query")
    text = text if text is not None else body["messages"][-1]["content"]
    words = text.split() if isinstance(text, str) else []
    return dict(word.split("=", 1) for word in words if "=" in word)


def whole(path: str, body: Json, orders: dict[str, str]) -> Json:
    """A plain answer."""
    text = " ".join(f"w{index}" for index in range(int(orders.get("words", 3))))
    said = {"message": {"role": "assistant", "content": text}} if "chat" in path else {"text": text}
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    choices = [{"index": 0, **said, "finish_reason": "stop"}]
    return {"id": "x", "model": body["model"], "choices": choices, "usage": usage}


def part(path: str, body: Json, index: int, reason: str | None) -> Json:
    """One event of a stream."""
    said: Json = {"delta": {"content": f"w{index}"}} if "chat" in path else {"text": f"w{index}"}
    return {"id": "x", "model": body["model"], "choices": [{"index": 0, **said, "finish_reason": reason}]}


def event(data: Json) -> bytes:
    """An event as vLLM writes it: `error` with a blank after the colon, all else by pydantic without."""
    text = json.dumps(data) if "error" in data else json.dumps(data, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


async def piece(send: Send, body: bytes, *, more: bool = True) -> None:
    """A piece of a body."""
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def answer(send: Send, status: int, body: bytes) -> None:
    """A whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await piece(send, body, more=False)


@dataclass
class Heard:
    """What a client got. `ended` says whether the body ended as a body should."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Json:
        found: Json = json.loads(self.body)
        return found

    @property
    def code(self) -> str:
        """The code of the error in the body."""
        return str(self.json["error"]["code"])

    @property
    def events(self) -> list[str]:
        """The data of each event."""
        return [one.removeprefix("data: ") for one in self.body.decode().split("\n\n") if one]


@dataclass
class RunningFront:
    """A Front with its life begun; `words` is what it told its supervisor."""

    front: Front
    vllm: FakeVllm
    supervisor: Link
    words: list[Word]

    async def ask(
        self,
        path: str,
        body: Json | bytes | None = None,
        *,
        method: str = "",
        headers: dict[str, str] | None = None,
        heard: Heard | None = None,
        leaves: asyncio.Event | None = None,
    ) -> Heard:
        """One request: a GET without a body. `heard` fills while the answer comes; `leaves` has the client go."""
        heard = heard if heard is not None else Heard()
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        messages = [{"type": "http.request", "body": raw[at : at + (1 << 20)]} for at in range(0, len(raw), 1 << 20)]
        waiting: list[Message] = [{**one, "more_body": one is not messages[-1]} for one in messages]

        async def receive() -> Message:
            if waiting:
                return waiting.pop(0)
            await (leaves or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                heard.status = message["status"]
                heard.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                heard.body += message["body"]
                heard.ended = not message.get("more_body", False)
                heard.begun.set()

        scope = {
            "type": "http",
            "method": method or ("GET" if body is None else "POST"),
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
            "app": self.vllm,
        }
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.front(scope, receive, send)
        return heard

    async def chat(self, orders: str = "", **more: Any) -> Heard:
        """A chat whose one message is orders."""
        heard, leaves = more.pop("heard", None), more.pop("leaves", None)
        messages = [{"role": "user", "content": f"Hello {orders}"}]
        return await self.ask("/v1/chat/completions", {"messages": messages, **more}, heard=heard, leaves=leaves)

    async def eventually(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not is_so():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def a_front(
    vllm: FakeVllm | None = None,
    *,
    task: Task = Task.CHAT,
    tools: bool = False,
    adapters: tuple[str, ...] = (),
    wait_ready: bool = True,
) -> AsyncIterator[RunningFront]:
    """A Front around a fake vLLM, connected to a supervisor's end of the link."""
    import socket
    import time

    vllm = vllm or FakeVllm()
    ours, theirs = socket.socketpair()
    link_fd, started = theirs.detach(), time.monotonic()
    settings = FrontSettings(name="qwen", task=task, started=started, link_fd=link_fd, tools=tools, adapters=adapters)
    front = Front(vllm, settings)
    words: list[Word] = []
    supervisor = await Link.open(ours, words.append)
    begun, end = asyncio.Event(), asyncio.Event()
    turns = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Message:
        turn = next(turns)
        if turn == "lifespan.shutdown":
            await end.wait()
        return {"type": turn}

    async def send(message: Message) -> None:
        begun.set()

    life = asyncio.ensure_future(front({"type": "lifespan", "app": vllm}, receive, send))
    running = RunningFront(front, vllm, supervisor, words)
    try:
        await asyncio.wait_for(begun.wait(), DEADLINE_SECONDS)
        if wait_ready:
            await running.eventually(lambda: Word.READY in words)
            vllm.asked.clear()
            vllm.headers.clear()
        yield running
    finally:
        end.set()
        await life
        supervisor.close()
