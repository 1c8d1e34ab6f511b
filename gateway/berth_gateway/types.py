"""The spelling of Envoy's type names."""


def type_url(message: str) -> str:
    """The `@type` of a message inside a `google.protobuf.Any`."""
    return f"type.googleapis.com/{message}"
