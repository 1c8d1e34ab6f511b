"""`/v1/embeddings`, also as `/embeddings`."""

from aiohttp import web

from berth_runtime.engines.protocol import EmbeddingRequest, Failure, Operation, Rows
from berth_runtime.openai.embeddings import render_embeddings
from berth_runtime.openai.errors import ApiError
from berth_runtime.openai.prompts import read_inputs
from berth_runtime.routes.bodies import find_model, read_body, take_parameters
from berth_runtime.routes.streams import count_first_event, render_json


async def answer_embeddings(request: web.Request) -> web.StreamResponse:
    """One vector for each input, in their order."""
    body = await read_body(request)
    model = find_model(request, body)
    capabilities = model.require_running().capabilities
    if body.get("dimensions") == capabilities.dimensions:
        body.pop("dimensions", None)  # as long as they are anyway: nothing is asked
    given = take_parameters(request, body, Operation.EMBEDDING, capabilities, subject="input").given
    exchange = await model.open(EmbeddingRequest(read_inputs(body.get("input"))))
    try:
        _, outcome = await exchange.take()
    finally:
        exchange.leave()
    if isinstance(outcome, Failure):
        raise ApiError(outcome)
    assert isinstance(outcome, Rows)
    count_first_event(request)
    answer = render_embeddings(outcome, model=model.name, encoding_format=given.get("encoding_format", "float"))
    return render_json(request, answer)
