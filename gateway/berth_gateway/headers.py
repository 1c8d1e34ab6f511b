"""The names that Berth's own request headers, statistics and metadata carry between Envoy, the agent and the engines.

Every header here is removed from what clients send (bootstrap.py), so whoever reads one can trust it.
"""

MODEL = "x-berth-model"
"""The engine's own name for the model: set for each attempt, obeyed by the runtime whatever the body says."""

NAMESPACE = "x-berth-namespace"
"""The namespace of that Model, so that the agent knows which one it is answering for."""

ASKED = "x-berth-asked"
"""The name that the client sent, percent-encoded and cut: only on requests that the agent has to explain."""

QUESTION = "x-berth-question"
"""Why such a request came to the agent: one of `Question`'s values in routes.py."""

PREFIX = "x-berth-"

CREDENTIALS = ("authorization", "proxy-authorization", "api-key", "x-api-key", "cookie")
"""What a client may carry for others. Engines ask for no keys, so none are handed to them."""

METADATA_NAMESPACE = "berth"
METADATA_KEY = "model"
FILTER_STATE_KEY = "berth.model"

MISSING = "!missing"
INVALID = "!invalid"
EMPTY = "-"
"""Values of the model's name that no Model can have: the body names no model, or is not a JSON object. Envoy prints
`-` for a name that is empty."""
