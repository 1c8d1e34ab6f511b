"""The route table: which cluster gets a request. Called by render.py.

A short list by path and method, then one map, flat in cost to thousands of names, from the name that the scan found in
the body (the header ASKED) to its owner; for a ModelRoute on by its rules. Envoy looks twice: first to choose the
filters, when that header is the client's own or none, then again with the right one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from berth_api.claims import Owner
from berth_api.openai_errors import ErrorCode, error_body
from berth_gateway import headers
from berth_gateway.actions import Question, agent_route, grouped_route, model_route, question_route, reply_route
from berth_gateway.part import Part
from berth_gateway.snapshot import Policy, Route, Rule, ServedModel, Snapshot
from berth_gateway.types import type_url

ROUTE_CONFIG = "gateway"

LIST_PATH = "/v1/models"
READY_PATH = "/health/ready"
HEALTH_PATHS = ("/health", "/health/live", READY_PATH)
MODEL_PATHS = ("/v1/", "/v2/", "/rerank", "/classify", "/generate", "/embeddings")
"""Posts to these paths, and to what is below, name their model in the body."""

Match = dict[str, Any]
"""An `xds.type.matcher.v3.Matcher.OnMatch`: an action, or a further matcher."""

Predicate = dict[str, Any]


def route_table(names: Mapping[str, Match]) -> dict[str, Any]:
    """The whole table as an `envoy.config.route.v3.RouteConfiguration`, around the entries of `name_entries`."""
    by_path = _first_of(
        (_path(prefix=[LIST_PATH]), _action(agent_route())),
        (_all([_header(":method", {"exact": "POST"}), _path(prefix=MODEL_PATHS)]), {"matcher": _by_name(names)}),
        (_path(exact=HEALTH_PATHS), _action(reply_route(200, {"status": "ok"}))),
        otherwise=_action(agent_route()),
    )
    host = {
        "name": ROUTE_CONFIG,
        "domains": ["*"],
        "matcher": by_path,
        "request_headers_to_remove": list(headers.CREDENTIALS),
        "response_headers_to_remove": [headers.FINAL],
    }
    return {"name": ROUTE_CONFIG, "virtual_hosts": [host]}


def name_entries(snapshot: Snapshot) -> dict[str, Part]:
    """What happens for each name: the part of the table that grows, kept apart so that it can be encoded piecewise."""
    names = {name: _owner(owner, snapshot) for name, owner in sorted(snapshot.names.items())}
    return {**names, **_BODIES_WITHOUT_A_NAME}


def _by_name(names: Mapping[str, Match]) -> dict[str, Any]:
    return {
        "matcher_tree": {"input": _header_input(headers.ASKED), "exact_match_map": {"map": dict(names)}},
        "on_no_match": _action(question_route(Question.UNKNOWN_NAME)),
    }


def _owner(owner: Owner, snapshot: Snapshot) -> Part:
    if owner.kind == "ModelRoute":
        route = snapshot.routes[owner.key]
        answering = frozenset(key for key in route.models if snapshot.models[key].answers)
        return Part((route, answering), partial(_route, route, snapshot.models))
    return Part(owner, lambda: _action(model_route(owner.key, Policy())))


def _route(route: Route, models: Mapping[str, ServedModel]) -> Match:
    """The first rule that matches; a rule without headers matches always, so what follows it is never reached."""
    rules: list[tuple[Predicate, Match]] = []
    for rule in route.rules:
        if not rule.headers:
            return _with_rules(rules, _rule(rule, models))
        rules.append(
            (_all([_header(name, {"exact": value}) for name, value in rule.headers.items()]), _rule(rule, models))
        )
    return _with_rules(rules, _action(question_route(Question.NO_RULE)))


def _with_rules(rules: Sequence[tuple[Predicate, Match]], otherwise: Match) -> Match:
    return {"matcher": _first_of(*rules, otherwise=otherwise)} if rules else otherwise


def _rule(rule: Rule, models: Mapping[str, ServedModel]) -> Match:
    groups = backend_groups(rule, models)
    if not groups:
        return _action(question_route(Question.NO_BACKEND))
    if rule.policy.first_byte_seconds is None:
        return _groups(groups, rule.policy)
    # An answer in one piece has no first event before its last one.
    whole = _groups(groups, replace(rule.policy, first_byte_seconds=None))
    is_stream = _header(headers.STREAM, {"exact": "true"})
    return {"matcher": _first_of((is_stream, _groups(groups, rule.policy)), otherwise=whole)}


def _groups(groups: Sequence[Mapping[str, int]], policy: Policy) -> Match:
    if len(groups) == 1 and len(groups[0]) == 1:
        (cluster,) = groups[0]
        return _action(model_route(cluster, policy))
    tries = [groups[0]] * (1 + policy.retries.attempts) + list(groups[1:])
    return _action(grouped_route(tries, policy))


def backend_groups(rule: Rule, models: Mapping[str, ServedModel]) -> tuple[dict[str, int], ...]:
    """What a rule asks, in order: its backends with their weights, then each fallback. No Model stands in two groups.

    Models that answer nothing now are left out while another of the rule does. If none does, all stay, and the agent
    (then the endpoint of each) says why.
    """
    main = {key: weight for key, weight in rule.backends.items() if weight > 0}
    fallbacks = [key for key in rule.fallbacks if key not in main]
    groups = [main, *({key: 1} for key in fallbacks)]
    answering = [{key: weight for key, weight in group.items() if models[key].answers} for group in groups]
    chosen = answering if any(answering) else groups
    return tuple(group for group in chosen if group)


def _first_of(*choices: tuple[Predicate, Match], otherwise: Match) -> dict[str, Any]:
    matchers = [{"predicate": predicate, "on_match": match} for predicate, match in choices]
    return {"matcher_list": {"matchers": matchers}, "on_no_match": otherwise}


def _action(route: dict[str, Any]) -> Match:
    return {"action": {"name": "route", "typed_config": route}}


def _header(name: str, value: dict[str, Any]) -> Predicate:
    return {"single_predicate": {"input": _header_input(name), "value_match": value}}


def _header_input(name: str) -> dict[str, Any]:
    source = {"@type": type_url("envoy.type.matcher.v3.HttpRequestHeaderMatchInput"), "header_name": name}
    return {"name": name, "typed_config": source}


def _path(*, prefix: Sequence[str] = (), exact: Sequence[str] = ()) -> Predicate:
    choices = [_header(":path", {"prefix": path}) for path in prefix]
    # `:path` carries the query.
    choices += [_header(":path", match) for path in exact for match in ({"exact": path}, {"prefix": f"{path}?"})]
    return choices[0] if len(choices) == 1 else {"or_matcher": {"predicate": choices}}


def _all(predicates: Sequence[Predicate]) -> Predicate:
    return predicates[0] if len(predicates) == 1 else {"and_matcher": {"predicate": list(predicates)}}


_NO_NAME = _action(
    reply_route(
        400,
        error_body(
            "The body names no model: set its field `model` to one of the names that GET /v1/models lists.",
            param="model",
            code=ErrorCode.MISSING_REQUIRED_PARAMETER,
        ),
    )
)
_NO_OBJECT = _action(
    reply_route(
        400,
        error_body(
            "The body is not a JSON object: send uncompressed JSON in UTF-8 with `content-type: application/json`.",
            code=ErrorCode.INVALID_JSON,
        ),
    )
)
_BODIES_WITHOUT_A_NAME: Mapping[str, Part] = {
    headers.MISSING: Part(headers.MISSING, lambda: _NO_NAME),
    headers.INVALID: Part(headers.INVALID, lambda: _NO_OBJECT),
}
