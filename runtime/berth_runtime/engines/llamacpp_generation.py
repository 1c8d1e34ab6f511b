"""A chat or completion as llama.cpp is asked it. Used by `engines.llamacpp`; pure."""

from dataclasses import dataclass, replace
from typing import Any

import orjson

from berth_runtime.engines.llamacpp_adapters import Adapters
from berth_runtime.engines.llamacpp_answers import ChunkReader
from berth_runtime.engines.llamacpp_calls import plan_calls
from berth_runtime.engines.llamacpp_logprobs import ask_for_logprobs
from berth_runtime.engines.llamacpp_pictures import check_pictures
from berth_runtime.engines.llamacpp_schema import check_schemas
from berth_runtime.engines.protocol import ChatRequest, CompletionRequest, Failure

Json = dict[str, Any]


@dataclass(frozen=True)
class Generation:
    """A chat or completion request as llama.cpp is asked it: always a stream, always with usage."""

    chat: bool
    stream: bool
    include_usage: bool
    tools: bool
    adapter: str | None
    body: bytes
    reader: ChunkReader

    @classmethod
    def of(cls, request: ChatRequest | CompletionRequest, adapters: Adapters) -> "Generation | Failure":
        """The request, with what must be different for llama.cpp, or why it can't be carried out."""
        body: Json = orjson.loads(request.body)
        chat = isinstance(request, ChatRequest)
        include_usage = bool(body.get("stream_options", {}).get("include_usage"))
        wrong = check_pictures(body) or check_schemas(body)
        if wrong is not None:
            return wrong
        calls = plan_calls(body)
        if isinstance(calls, Failure):
            return calls
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        adapter = adapters.chosen(body["model"])
        if adapters.names:
            body["lora"] = adapters.scales(adapter)
        reader = ChunkReader(
            prompts=1 if chat else count_prompts(body["prompt"]),
            choices=int(body.get("n", 1)),
            rename=(adapters.model, body["model"]) if adapter else None,
            writer=calls or ask_for_logprobs(body, chat=chat),
        )
        return cls(
            chat=chat,
            stream=request.stream,
            include_usage=request.stream and include_usage,
            tools=bool(body.get("tools")),
            adapter=adapter,
            body=orjson.dumps(body),
            reader=reader,
        )

    def blame(self, failure: Failure) -> Failure:
        """A schema that can't be is the format's, or that of a function."""
        return replace(failure, param="tools") if self.tools and failure.param == "response_format" else failure


def count_prompts(prompt: object) -> int:
    """A text or a list of token ids is one prompt, a list of those is as many."""
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
        return len(prompt)
    return 1
