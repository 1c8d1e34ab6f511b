"""`/v1/chat/completions`, `/v1/completions`, `/generate`."""

from aiohttp import web

from berth_runtime.engines.protocol import ChatRequest, CompletionRequest, Operation
from berth_runtime.openai.generate import read_generate, render_generate, render_generate_event
from berth_runtime.openai.prompts import read_messages, read_prompt
from berth_runtime.routes.bodies import Json, encode_body, find_model, read_asked, read_body, take_parameters
from berth_runtime.routes.streams import Render, send_answer


async def answer_chat(request: web.Request) -> web.StreamResponse:
    """A chat, plain or as a stream."""
    asked = await read_asked(request, Operation.CHAT)
    messages = read_messages(asked.body.get("messages"), pictures=asked.capabilities.pictures)
    stream = bool(asked.given.get("stream"))
    body = encode_body({**asked.given, "messages": messages, "model": asked.model.name})
    exchange = await asked.model.open(ChatRequest(body, stream), weight=asked.given.get("n", 1))
    return await send_answer(request, exchange, stream=stream)


async def answer_completion(request: web.Request) -> web.StreamResponse:
    """A text continued, plain or as a stream."""
    return await complete(request, await read_body(request))


async def answer_generate(request: web.Request) -> web.StreamResponse:
    """The same with fewer words."""
    body = read_generate(await read_body(request))
    render = render_generate_event if body.get("stream") else render_generate
    return await complete(request, body, render=render)


async def complete(request: web.Request, body: Json, *, render: Render | None = None) -> web.StreamResponse:
    """A completion, as its client wants to read it."""
    model = find_model(request, body)
    capabilities = model.require_running().capabilities
    given = take_parameters(request, body, Operation.COMPLETION, capabilities).given
    prompt, prompts = read_prompt(body.get("prompt"))
    stream = bool(given.get("stream"))
    asked = CompletionRequest(encode_body({**given, "prompt": prompt, "model": model.name}), stream)
    exchange = await model.open(asked, weight=prompts * given.get("n", 1))
    return await send_answer(request, exchange, stream=stream, render=render)
