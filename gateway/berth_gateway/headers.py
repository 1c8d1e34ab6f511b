"""The names that Berth's own request headers carry between Envoy, the agent and the engines.

What a client sends under these names is overwritten or removed before anybody reads it.
"""

from berth_api.names import MODEL_HEADER

MODEL = MODEL_HEADER
"""The engine's own name for the model: set for each attempt, obeyed by the runtime whatever the body says."""

NAMESPACE = "x-berth-namespace"
"""The namespace of that Model, so that the agent knows which one it is answering for."""

ASKED = "x-berth-asked"
"""The name that the client sent, percent-encoded and cut, or one of the two words below; requests are routed by it."""

STREAM = "x-berth-stream"
"""`true` where the body asks for an answer in pieces."""

QUESTION = "x-berth-question"
"""Why such a request came to the agent: one of `Question`'s values in actions.py."""

FINAL = "x-envoy-ratelimited"
"""On the agent's answers in a Model's place. Envoy repeats no such request, except for a fallback, and removes it."""

OWN = (MODEL, NAMESPACE, ASKED, STREAM, QUESTION)

MISSING = "!missing"
INVALID = "!invalid"
"""What stands in ASKED where the body names no model, or is no JSON object. No name is written with `!`."""

CREDENTIALS = ("authorization", "proxy-authorization", "api-key", "x-api-key", "cookie")
"""What a client may carry for others. Engines ask for no keys, so none are handed to them."""
