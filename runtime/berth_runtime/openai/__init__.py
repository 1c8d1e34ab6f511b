"""OpenAI's API as values: what is accepted, refused, answered. Pure; `berth_runtime.routes` serves it."""
