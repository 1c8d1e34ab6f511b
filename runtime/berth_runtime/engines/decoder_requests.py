"""What a chat or completion asks of a model that writes text, as values: `Wanted`. Pure.

The HTTP process has checked the fields' types and ranges; what only the model knows is checked here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from berth_runtime.engines.decoder_sampling import Sampling
from berth_runtime.engines.protocol import ChatRequest, CompletionRequest, Failure, Operation
from berth_store.detect import DecoderSettings

Json = dict[str, Any]

COMPLETION: Final = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repeat_penalty"),
        *("logit_bias", "seed", "stop", "n", "max_tokens", "ignore_eos", "stream", "stream_options"),
    }
)
CHAT: Final = COMPLETION | {"max_completion_tokens", "chat_template_kwargs"}
PARAMETERS: Final[Mapping[Operation, frozenset[str]]] = {Operation.CHAT: CHAT, Operation.COMPLETION: COMPLETION}
"""Without tools, schemas and log probabilities: those fields are refused by name."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One request. `most` is how many tokens an answer may have, None for as many as there is room for."""

    body: Json
    chat: bool
    stream: bool
    include_usage: bool
    choices: int
    most: int | None
    stops: tuple[str, ...]
    ignore_end: bool
    sampling: Sampling


def read_request(request: ChatRequest | CompletionRequest, decoder: DecoderSettings) -> Wanted | Failure:
    """The request as values, or why it can't be carried out; what it leaves open is as the model's makers say."""
    body: Json = orjson.loads(request.body)
    bias = {int(token): float(value) for token, value in body.get("logit_bias", {}).items()}
    unknown = next((token for token in bias if token >= decoder.vocabulary), None)
    if unknown is not None:
        return Failure(
            400, "invalid_value", f"The token {unknown} of 'logit_bias' is none of this model.", "logit_bias"
        )
    stops = body.get("stop", [])
    return Wanted(
        body=body,
        chat=isinstance(request, ChatRequest),
        stream=request.stream,
        include_usage=request.stream and bool(body.get("stream_options", {}).get("include_usage")),
        choices=body.get("n", 1),
        most=body.get("max_completion_tokens", body.get("max_tokens")),
        stops=(stops,) if isinstance(stops, str) else tuple(stops),
        ignore_end=body.get("ignore_eos", False),
        sampling=Sampling(
            temperature=body.get("temperature", 1.0 if decoder.temperature is None else decoder.temperature),
            top_k=body.get("top_k", decoder.top_k or 0),
            top_p=body.get("top_p", 1.0 if decoder.top_p is None else decoder.top_p),
            min_p=body.get("min_p", 0.0),
            presence_penalty=body.get("presence_penalty", 0.0),
            frequency_penalty=body.get("frequency_penalty", 0.0),
            repeat_penalty=body.get("repeat_penalty", 1.0),
            bias=bias,
            seed=body.get("seed"),
        ),
    )
