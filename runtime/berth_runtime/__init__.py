"""The inference server: engines, the OpenAI HTTP API, readiness that proves an answer."""
