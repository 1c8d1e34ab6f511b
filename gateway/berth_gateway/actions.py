"""What a branch of the route table does: send to a model, to several by weight, to the agent, or reply. For routes.py.

Every function returns an `envoy.config.route.v3.Route` as a dict.
"""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from berth_api.route_spec import RetryOn
from berth_gateway import headers
from berth_gateway.snapshot import Policy
from berth_gateway.types import type_url

AGENT_CLUSTER = "agent"
"""The static cluster of the agent. It holds no slash, so no Model's key can be this name."""

SCAN_FILTER = "scan"
BODY_FILTER = "body"


class Question(StrEnum):
    """Why a request for a model came to the agent's own cluster."""

    UNKNOWN_NAME = "unknown-name"
    NO_RULE = "no-rule"
    NO_BACKEND = "no-backend"


def model_route(cluster: str, policy: Policy) -> dict[str, Any]:
    """All requests to one model's cluster."""
    return _route({"cluster": cluster} | _patience(policy, policy.retries.attempts))


def grouped_route(groups: Sequence[Mapping[str, int]], policy: Policy) -> dict[str, Any]:
    """To the first group's clusters by weight; the n-th retry goes to group n, and later ones stay with the last.

    The router draws one random number for all attempts, so a group that is named again is asked at the same cluster.
    """
    specifier = {
        "@type": type_url("envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier"),
        "priority_groups": [
            {
                "name": f"attempt-{number}",
                "clusters": [{"cluster_name": name, "weight": weight} for name, weight in group.items()],
            }
            for number, group in enumerate(groups, start=1)
        ],
    }
    plugin = {"inline_cluster_specifier_plugin": {"extension": {"name": "groups", "typed_config": specifier}}}
    patience = _patience(policy, len(groups) - 1)
    patience["retry_policy"]["refresh_cluster_on_retry"] = True
    if groups[0] != groups[-1]:
        # The agent marks its answers in a Model's place so; only for a fallback it makes sense to go on after one.
        patience["retry_policy"]["retry_on"] += ",envoy-ratelimited"
    return _route(plugin | patience)


def question_route(question: Question) -> dict[str, Any]:
    """To the agent, which explains why no model answers the name in `headers.ASKED`.

    Where no name is known yet this is also what Envoy finds first, before it has read the body.
    """
    return _to_agent(remove=(headers.MODEL, headers.NAMESPACE)) | {
        "request_headers_to_add": [_set_header(headers.QUESTION, question.value)]
    }


def agent_route() -> dict[str, Any]:
    """To the agent by path: lists, metrics, and paths that nothing here knows. No body is read for them."""
    return _to_agent(remove=headers.OWN) | _WITHOUT_BODY


def reply_route(status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    """A fixed JSON reply by Envoy itself."""
    return {
        "@type": type_url("envoy.config.route.v3.Route"),
        "match": {"prefix": "/"},
        "direct_response": {"status": status, "body": {"inline_string": json.dumps(body)}},
        "response_headers_to_add": [_set_header("content-type", "application/json")],
    } | _WITHOUT_BODY


def _to_agent(*, remove: Sequence[str]) -> dict[str, Any]:
    return _route({"cluster": AGENT_CLUSTER, "timeout": "30s"}) | {"request_headers_to_remove": list(remove)}


def _route(action: dict[str, Any]) -> dict[str, Any]:
    return {"@type": type_url("envoy.config.route.v3.Route"), "match": {"prefix": "/"}, "route": action}


def _patience(policy: Policy, attempts: int) -> dict[str, Any]:
    """The part of a route action that says how long to wait and what to try again."""
    on = [reason for reason in RetryOn if reason in policy.retries.retry_on]
    statuses = sorted({status for reason in on for status in _STATUSES[reason]})
    conditions = [word for reason in on for word in _CONDITIONS[reason]] + (_BY_STATUS if statuses else [])
    retry: dict[str, Any] = {
        "retry_on": ",".join(conditions),
        "num_retries": attempts,
        "retriable_status_codes": statuses,
        # Where a model has several engines, ask another one first.
        "retry_host_predicate": [{"name": "previous-hosts", "typed_config": {"@type": _PREVIOUS_HOSTS}}],
        "host_selection_retry_max_attempts": 5,
    }
    if policy.first_byte_seconds is not None:
        # Envoy stops this clock when the response head arrives, and engines hold the head until the first event.
        retry["per_try_timeout"] = f"{policy.first_byte_seconds}s"
    # `timeout` would count the whole answer, retries included, and cut a long stream.
    return {"timeout": "0s", "idle_timeout": f"{policy.idle_seconds}s", "retry_policy": retry}


# Envoy's own `gateway-error` would also resend after a reset, which is a choice of its own here.
_BY_STATUS = ["retriable-status-codes"]
_CONDITIONS: Mapping[RetryOn, tuple[str, ...]] = {
    RetryOn.CONNECT_FAILURE: ("connect-failure", "refused-stream"),
    RetryOn.RESET: ("reset",),
    RetryOn.GATEWAY_ERROR: (),
    RetryOn.OVERLOADED: (),
}
_STATUSES: Mapping[RetryOn, tuple[int, ...]] = {
    RetryOn.CONNECT_FAILURE: (),
    RetryOn.RESET: (),
    RetryOn.GATEWAY_ERROR: (502, 503, 504),
    RetryOn.OVERLOADED: (429, 503),
}


_PREVIOUS_HOSTS = type_url("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")


def _set_header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


_DISABLED = {"@type": type_url("envoy.config.route.v3.FilterConfig"), "disabled": True}
_WITHOUT_BODY = {"typed_per_filter_config": {BODY_FILTER: _DISABLED, SCAN_FILTER: _DISABLED}}
"""Filters are chosen by the route that fits before the body is read, so this works for routes by path only."""
