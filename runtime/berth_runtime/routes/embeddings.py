"""`/v1/embeddings`, also as `/embeddings`."""

from aiohttp import web

from berth_runtime.engines.protocol import Capabilities, EmbeddingRequest, Operation
from berth_runtime.openai.embeddings import cut_embeddings, render_embeddings
from berth_runtime.openai.errors import refuse
from berth_runtime.openai.prompts import read_inputs
from berth_runtime.routes.bodies import Json, find_model, read_body, take_parameters
from berth_runtime.routes.streams import ask_rows, render_json


async def answer_embeddings(request: web.Request) -> web.StreamResponse:
    """One vector for each input, in their order."""
    body = await read_body(request)
    model = find_model(request, body)
    capabilities = model.require_running().capabilities
    if body.get("dimensions") == capabilities.dimensions:
        body.pop("dimensions", None)  # as long as they are anyway: nothing is asked
    given = take_parameters(request, body, Operation.EMBEDDING, capabilities).given
    check_dimensions(given, capabilities)
    outcome = await ask_rows(request, model, EmbeddingRequest(read_inputs(body.get("input"))))
    if "dimensions" in given:
        outcome = cut_embeddings(outcome, given["dimensions"])
    answer = render_embeddings(outcome, model=model.name, encoding_format=given.get("encoding_format", "float"))
    return render_json(request, answer)


def check_dimensions(given: Json, capabilities: Capabilities) -> None:
    """A vector can be cut, not stretched; raises `ApiError`."""
    most = capabilities.dimensions
    if most is not None and given.get("dimensions", 1) > most:
        raise refuse(
            f"'dimensions' is {given['dimensions']}, and this model's vectors have {most}.", param="dimensions"
        )
