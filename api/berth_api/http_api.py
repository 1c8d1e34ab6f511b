"""The HTTP API that clients see, as an OpenAPI document: written by `make crds`, served by the runtime and the agent.

It is made in `berth_runtime.openapi`, of the tables by which requests are read, and lies here because the gateway
answers clients too and knows nothing of the runtime.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources

DOCUMENT_PATH = "/openapi.json"

# What other servers have below these paths, and their clients ask for.
_NOT_SERVED: Mapping[str, str] = {
    "/v1/responses/": "Answers are not kept here, so there are none to be shown, deleted or gone on from. "
    "POST /v1/responses takes the whole conversation.",
    "/v1/conversations": "Conversations are not kept here. POST /v1/responses takes the whole conversation.",
    "/v1/messages/count_tokens": "Tokens are not counted beforehand here. The usage of an answer has them.",
    "/v1/messages/batches": "Batches are not served here. POST /v1/messages takes one request at a time.",
}


@cache
def read_document() -> bytes:
    """The document as JSON."""
    return resources.files("berth_api").joinpath("openapi.json").read_bytes()


@cache
def posted_paths() -> frozenset[str]:
    """Every path that takes a POST."""
    return frozenset(path for path, item in json.loads(read_document())["paths"].items() if "post" in item)


def why_not_served(path: str) -> str | None:
    """The sentence for a path that belongs to an API that is served only in part; None for any other."""
    return next((why for start, why in _NOT_SERVED.items() if path.startswith(start)), None)
