"""`/v1/classify`, also as `/classify`."""

from aiohttp import web

from berth_runtime.engines.protocol import ClassificationRequest, Operation, Rows
from berth_runtime.openai.classification import read_texts, render_classes, render_entities
from berth_runtime.routes.bodies import read_asked
from berth_runtime.routes.streams import ask_whole, new_envelope, render_json


async def answer_classify(request: web.Request) -> web.StreamResponse:
    """The class of each text, or the entities in it: that is the model's task, and the engine's answer shows which."""
    asked = await read_asked(request, Operation.CLASSIFICATION)
    texts = read_texts(asked.body.get("input"))
    said, outcome = await ask_whole(request, asked.model, ClassificationRequest(texts))
    envelope = new_envelope("classify", asked.model)
    if isinstance(outcome, Rows):
        answer = render_classes(outcome, asked.capabilities.labels, texts=len(texts), envelope=envelope)
    else:
        answer = render_entities(said, texts, prompt_tokens=outcome.prompt_tokens, envelope=envelope)
    return render_json(request, answer)
