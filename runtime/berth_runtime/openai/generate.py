"""`/generate`: the plain way to have a text continued, without OpenAI's envelope; pure.

    {"prompt" or "inputs": "Once upon", "max_tokens" or "max_new_tokens": 20, "stream": false, …}
    → {"model": "smollm2", "text": " a time", "finish_reason": "length", "usage": {…}}
    stream → {"text": " a"} … {"text": "", "finish_reason": "length"}, {"text": "", "usage": {…}}, [DONE] as SSE events

Sampling fields are those of completions; they may also stand in an object `parameters`. There is no chat
template: the text is continued as it is.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from berth_runtime.openai.errors import refuse

Json = dict[str, Any]
OTHER_NAMES: Final[Mapping[str, str]] = {
    "inputs": "prompt",
    "max_new_tokens": "max_tokens",
    "repetition_penalty": "repeat_penalty",
}


def read_generate(body: Json) -> Json:
    """The same request as the body of a completion; raises `ApiError` where it can't be one."""
    parameters = body.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise refuse("'parameters' has to be an object.", param="parameters")
    merged: Json = {}
    for name, value in (*body.items(), *parameters.items()):
        if name == "parameters":
            continue
        ours = OTHER_NAMES.get(name, name)
        if ours in merged:
            raise refuse(f"{name!r} is given twice, or beside another name for the same.", param=name)
        merged[ours] = value
    if not isinstance(merged.get("prompt"), str):
        raise refuse("'prompt' (or 'inputs') has to be a text.", param="prompt")
    if merged.get("n", 1) != 1:
        raise refuse("'n' is not supported here; /v1/completions has it.", param="n", code="unsupported_parameter")
    if merged.get("stream"):
        merged["stream_options"] = {"include_usage": True}
    return merged


def render_generate(completion: bytes) -> bytes:
    """The answer, from that of a completion."""
    answer: Json = orjson.loads(completion)
    choice = answer["choices"][0]
    return orjson.dumps(
        {
            "model": answer["model"],
            "text": choice["text"],
            "finish_reason": choice["finish_reason"],
            "usage": answer["usage"],
        }
    )


def render_generate_event(completion: bytes) -> bytes:
    """One event of the stream, from that of a completion; the last has the usage."""
    event: Json = orjson.loads(completion)
    if not event["choices"]:
        return orjson.dumps({"text": "", "usage": event["usage"]})
    choice = event["choices"][0]
    if choice["finish_reason"] is None:
        return orjson.dumps({"text": choice["text"]})
    return orjson.dumps({"text": choice["text"], "finish_reason": choice["finish_reason"]})
