"""`/v1/images/classify`, `/v1/images/detect`, `/v1/images/recognize`."""

from collections.abc import Callable

from aiohttp import web

from berth_runtime.engines.protocol import ImageRequest, Operation
from berth_runtime.openai.image_field import read_pictures
from berth_runtime.openai.images import DEFAULT_TOP_K, render_image_classes, render_objects, render_readings
from berth_runtime.routes.bodies import read_asked
from berth_runtime.routes.streams import ask_rows, ask_whole, new_envelope, render_json


async def answer_image_classify(request: web.Request) -> web.StreamResponse:
    """What each picture shows."""
    asked = await read_asked(request, Operation.IMAGE_CLASSIFICATION)
    pictures = read_pictures(asked.body.get("image"))
    scores = await ask_rows(request, asked.model, ImageRequest(Operation.IMAGE_CLASSIFICATION, pictures))
    answer = render_image_classes(
        scores,
        asked.capabilities.labels,
        pictures=len(pictures),
        top_k=asked.given.get("top_k", DEFAULT_TOP_K),
        envelope=new_envelope("classify", asked.model),
    )
    return render_json(request, answer)


async def answer_image_detect(request: web.Request) -> web.StreamResponse:
    """What is where in each picture."""
    return await answer_found(request, Operation.OBJECT_DETECTION, render_objects, prefix="detect")


async def answer_image_recognize(request: web.Request) -> web.StreamResponse:
    """What is written in each picture."""
    return await answer_found(request, Operation.TEXT_RECOGNITION, render_readings, prefix="recognize")


async def answer_found(
    request: web.Request, operation: Operation, render: Callable[..., bytes], *, prefix: str
) -> web.StreamResponse:
    """Whatever an engine says of each picture in a form of its own."""
    asked = await read_asked(request, operation)
    pictures = read_pictures(asked.body.get("image"))
    said, outcome = await ask_whole(
        request, asked.model, ImageRequest(operation, pictures, asked.given.get("threshold"))
    )
    envelope = new_envelope(prefix, asked.model)
    answer = render(said, pictures=len(pictures), prompt_tokens=outcome.prompt_tokens, envelope=envelope)
    return render_json(request, answer)
