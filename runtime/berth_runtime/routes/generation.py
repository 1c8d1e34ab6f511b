"""`/v1/chat/completions`, also in the words of other APIs; `/v1/completions`, `/generate`."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from berth_runtime.dialects.translation import Translate
from berth_runtime.engines.protocol import ChatRequest, CompletionRequest, Operation
from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.form import OPENAI, AnswerForm, OpenAiForm
from berth_runtime.openai.generate import read_generate, render_generate, render_generate_event
from berth_runtime.openai.prompts import read_messages, read_prompt
from berth_runtime.routes.bodies import (
    Asked,
    Json,
    encode_body,
    find_model,
    read_asked,
    read_body,
    require_operation,
    take_parameters,
)
from berth_runtime.routes.keys import IGNORED
from berth_runtime.routes.streams import send_answer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def answer_chat(request: web.Request) -> web.StreamResponse:
    """A chat, plain or as a stream."""
    return await chat(request, await read_asked(request, Operation.CHAT))


def answer_translated(translate: Translate) -> Handler:
    """A handler for chats in the words of another API."""

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await read_body(request)
        model = find_model(request, body)
        capabilities = model.require_running().capabilities
        require_operation(request, Operation.CHAT, capabilities)
        translation = translate(body)
        try:
            given = take_parameters(request, translation.chat, Operation.CHAT, capabilities).given
            request[IGNORED] = translation.ignored
            return await chat(request, Asked(translation.chat, model, capabilities, given), form=translation.form)
        except ApiError as error:
            raise translation.names.blame_error(error) from error

    return answer


async def chat(request: web.Request, asked: Asked, *, form: AnswerForm = OPENAI) -> web.StreamResponse:
    """A chat whose fields are known to be right, as its client wants to read it."""
    messages = read_messages(asked.body.get("messages"), pictures=asked.capabilities.pictures)
    stream = bool(asked.given.get("stream"))
    body = encode_body({**asked.given, "messages": messages, "model": asked.model.name})
    exchange = await asked.model.open(ChatRequest(body, stream), weight=asked.given.get("n", 1))
    return await send_answer(request, exchange, stream=stream, form=form)


async def answer_completion(request: web.Request) -> web.StreamResponse:
    """A text continued, plain or as a stream."""
    return await complete(request, await read_body(request))


async def answer_generate(request: web.Request) -> web.StreamResponse:
    """The same with fewer words."""
    body = read_generate(await read_body(request))
    form = OpenAiForm(render_generate_event if body.get("stream") else render_generate)
    return await complete(request, body, form=form)


async def complete(request: web.Request, body: Json, *, form: AnswerForm = OPENAI) -> web.StreamResponse:
    """A completion, as its client wants to read it."""
    model = find_model(request, body)
    capabilities = model.require_running().capabilities
    given = take_parameters(request, body, Operation.COMPLETION, capabilities).given
    prompt, prompts = read_prompt(body.get("prompt"))
    stream = bool(given.get("stream"))
    asked = CompletionRequest(encode_body({**given, "prompt": prompt, "model": model.name}), stream)
    exchange = await model.open(asked, weight=prompts * given.get("n", 1))
    return await send_answer(request, exchange, stream=stream, form=form)
