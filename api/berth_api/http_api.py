"""The HTTP API that clients see, as an OpenAPI document: written by `make crds`, served by the runtime and the agent.

It is made in `berth_runtime.openapi`, of the tables by which requests are read, and lies here because the gateway
answers clients too and knows nothing of the runtime.
"""

import json
from functools import cache
from importlib import resources

DOCUMENT_PATH = "/openapi.json"


@cache
def read_document() -> bytes:
    """The document as JSON."""
    return resources.files("berth_api").joinpath("openapi.json").read_bytes()


@cache
def posted_paths() -> frozenset[str]:
    """Every path that takes a POST."""
    return frozenset(path for path, item in json.loads(read_document())["paths"].items() if "post" in item)
