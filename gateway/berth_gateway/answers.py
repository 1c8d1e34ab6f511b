"""What the agent answers, as pure functions of the snapshot. Called by agent_http.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from berth_api import anthropic_errors
from berth_api.claims import Owner
from berth_api.http_api import DOCUMENT_PATH, why_not_served
from berth_api.openai_errors import ErrorCode, ErrorType, error_body
from berth_api.suggestions import close_words
from berth_gateway import headers
from berth_gateway.actions import Question
from berth_gateway.snapshot import Phase, ServedModel, Snapshot


@dataclass(frozen=True)
class Answer:
    """An HTTP answer with a JSON body."""

    status: HTTPStatus
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def welcome(version: str) -> Answer:
    """For whoever opens the address in a browser."""
    paths = {"openai": "/v1", "models": "/v1/models", "openapi": DOCUMENT_PATH, "health": "/health"}
    body = {"name": "Berth", "version": version, **paths}
    return Answer(HTTPStatus.OK, body)


def list_models(snapshot: Snapshot) -> Answer:
    """OpenAI's list of all names that answer now or will when they have loaded."""
    names = sorted(name for name, owner in shown_names(snapshot).items() if _is_servable(owner, snapshot))
    return Answer(HTTPStatus.OK, {"object": "list", "data": [_entry(name, snapshot) for name in names]})


def show_model(name: str, snapshot: Snapshot) -> Answer:
    """One entry of that list; every name is shown here, whatever its Model's phase."""
    if name not in snapshot.names:
        return unknown_model(name, snapshot)
    return Answer(HTTPStatus.OK, _entry(name, snapshot))


def unknown_model(asked: str, snapshot: Snapshot) -> Answer:
    """404 with the names that look alike."""
    close = close_words(asked, sorted(shown_names(snapshot)))
    hint = f" Did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else ""
    message = f"The model `{asked}` does not exist.{hint} GET /v1/models lists the names."
    return Answer(HTTPStatus.NOT_FOUND, error_body(message, code=ErrorCode.MODEL_NOT_FOUND, param="model"))


def explain(question: Question, asked: str, snapshot: Snapshot) -> Answer:
    """Why the route table found no model for the name that a client sent."""
    owner = snapshot.names.get(asked)
    if question is Question.UNKNOWN_NAME or owner is None:
        return unknown_model(asked, snapshot)
    if question is Question.NO_RULE:
        message = f"The ModelRoute {owner.key} has no rule for a request with these headers."
        return Answer(HTTPStatus.NOT_FOUND, error_body(message, code=ErrorCode.MODEL_NOT_FOUND, param="model"))
    route = snapshot.routes.get(owner.key)
    why = "; ".join(route.problems) if route is not None and route.problems else "none of its backends has a weight"
    message = f"The ModelRoute {owner.key} has no Model to send this request to: {why}."
    return _unavailable(message, ErrorCode.NO_BACKEND)


def model_state(key: str, snapshot: Snapshot) -> Answer:
    """503 for a Model whose endpoint is the agent, with its state in words."""
    model = snapshot.models.get(key)
    if model is None:
        return _unavailable(f"The Model {key} has just been removed.", ErrorCode.MODEL_UNAVAILABLE)
    answer = _ANSWERS_BY_PHASE[model.state.phase](model)
    return replace(answer, headers={**answer.headers, headers.FINAL: "true"})


def no_such_path(method: str, path: str) -> Answer:
    """404 for whatever is no path of this gateway."""
    unknown = f"There is nothing at {method} {path}. The OpenAI address is /v1; GET /v1/models lists the models."
    message = why_not_served(path) or unknown
    return Answer(HTTPStatus.NOT_FOUND, error_body(message, code=ErrorCode.UNKNOWN_URL))


def wrong_method(method: str, path: str, allowed: str) -> Answer:
    """405 for a path that exists."""
    body = error_body(f"{path} takes {allowed}, not {method}.", code=ErrorCode.METHOD_NOT_ALLOWED)
    return Answer(HTTPStatus.METHOD_NOT_ALLOWED, body, {"allow": allowed})


def as_anthropic(answer: Answer) -> Answer:
    """An error for whoever asks where Anthropic's API is."""
    body = anthropic_errors.error_body(answer.body["error"]["message"], status=answer.status)
    return replace(answer, body=body)


def shown_names(snapshot: Snapshot) -> dict[str, Owner]:
    """The names worth showing: `namespace/name` only where the bare name is somebody else's."""
    return {
        name: owner
        for name, owner in snapshot.names.items()
        if "/" not in name or snapshot.names.get(name.partition("/")[2]) != owner
    }


def _entry(name: str, snapshot: Snapshot) -> dict[str, Any]:
    owner = snapshot.names[name]
    owned = snapshot.routes[owner.key] if owner.kind == "ModelRoute" else snapshot.models[owner.key]
    # `root` and `parent` are vLLM's words for what stands behind an alias, and for an adapter's model.
    entry = {
        "id": name,
        "object": "model",
        "created": owned.created_seconds,
        "owned_by": owner.namespace,
        "root": owner.key,
    }
    return entry | ({"parent": replace(owner, adapter="").key} if owner.adapter else {})


def _is_servable(owner: Owner, snapshot: Snapshot) -> bool:
    keys = snapshot.routes[owner.key].models if owner.kind == "ModelRoute" else {owner.key}
    return any(snapshot.models[key].state.phase in {Phase.READY, Phase.LOADING} for key in keys)


def _unavailable(message: str, code: ErrorCode, more: Mapping[str, str] | None = None) -> Answer:
    body = error_body(message, code=code, kind=ErrorType.SERVER, param="model")
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, body, more or {})


def _loading(model: ServedModel) -> Answer:
    seconds = max(1, model.state.retry_after_seconds)
    detail = f": {model.state.message}" if model.state.message else ""
    message = f"The model {model.key} is loading{detail}. Try again in {seconds} s."
    return _unavailable(message, ErrorCode.MODEL_LOADING, {"retry-after": str(seconds)})


def _suspended(model: ServedModel) -> Answer:
    detail = model.state.message or "set `spec.suspend: false` and at least one replica to start it"
    return _unavailable(f"The model {model.key} is suspended: {detail}.", ErrorCode.MODEL_SUSPENDED, _WITHOUT_RETRY)


def _failed(model: ServedModel) -> Answer:
    detail = model.state.message or "its status says why"
    return _unavailable(f"The model {model.key} can't be started: {detail}.", ErrorCode.MODEL_FAILED, _WITHOUT_RETRY)


# OpenAI's clients try a 503 again unless they are told that it is of no use.
_WITHOUT_RETRY = {"x-should-retry": "false"}
_ANSWERS_BY_PHASE = {
    # Ready and yet here: its engine has just gone, or come.
    Phase.READY: _loading,
    Phase.LOADING: _loading,
    Phase.SUSPENDED: _suspended,
    Phase.FAILED: _failed,
}
