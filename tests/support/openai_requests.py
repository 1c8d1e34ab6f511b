"""Requests as OpenAI's clients send them, raw enough for tests to see status, headers and the arrival of each event."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

CHAT = "/v1/chat/completions"
LARGE_BYTES = 1 << 19


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> dict[str, Any]:
        """The error in OpenAI's form; anything else is a failed test."""
        body = self.json
        assert set(body) == {"error"}, body
        assert set(body["error"]) == {"message", "type", "param", "code"}, body
        assert self.headers["content-type"].startswith("application/json")
        error: dict[str, Any] = body["error"]
        return error

    @property
    def model(self) -> str:
        """Which engine answered."""
        assert self.status == 200, self.text
        name: str = self.json["model"]
        return name


async def send(
    session: aiohttp.ClientSession,
    url: str,
    body: object = None,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> Reply:
    """One request. `body` is sent as JSON, or as it is where it is bytes or a generator of them."""
    data = body if body is None or isinstance(body, bytes) or hasattr(body, "__anext__") else json.dumps(body).encode()
    if isinstance(data, bytes) and len(data) > LARGE_BYTES:
        data = io.BytesIO(data)
    sent = {"content-type": "application/json"} | (headers or {})
    async with session.request(method, url, data=data, headers=sent) as response:
        return Reply(
            response.status, {name.lower(): value for name, value in response.headers.items()}, await response.text()
        )


class Stream:
    """An answer that arrives in pieces."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self._content = response.content

    async def event(self) -> Any:
        """The next event's data, or `[DONE]`. A connection that breaks is an aiohttp.ClientError."""
        while line := await self._content.readline():
            if line.startswith(b"data: "):
                data = line.removeprefix(b"data: ").strip().decode()
                return data if data == "[DONE]" else json.loads(data)
        raise EOFError("the stream ended without [DONE]")

    async def words(self) -> list[str]:
        """All that is left until `[DONE]`."""
        words = []
        while (event := await self.event()) != "[DONE]":
            words.append(event["choices"][0]["delta"]["content"])
        return words


@asynccontextmanager
async def streaming(
    session: aiohttp.ClientSession, url: str, model: str, *, headers: dict[str, str] | None = None
) -> AsyncIterator[Stream]:
    """A streamed chat with `model`."""
    async with session.post(url + CHAT, json={"model": model, "stream": True}, headers=headers) as response:
        yield Stream(response)
