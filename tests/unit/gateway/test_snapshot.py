"""How manifests and what was observed become a snapshot."""

from datetime import UTC, datetime

from snapshots import backend, fallback, header, model, ready, route, snapshot_of

from berth_gateway.routes import backend_groups
from berth_gateway.snapshot import LOADING, Endpoint, ModelState, Phase, Rule, build_snapshot


def test_a_model_of_which_nothing_is_known_is_loading() -> None:
    assert snapshot_of(model("qwen")).models["default/qwen"].state == LOADING


def test_a_model_answers_while_one_endpoint_does_not_drain() -> None:
    leaving = Endpoint("127.0.0.1", 1, draining=True)
    assert ready(leaving, Endpoint("127.0.0.1", 2)).answers
    assert not ready(leaving).answers
    assert not ModelState(Phase.READY).answers


def test_a_suspended_model_does_not_answer_even_while_an_engine_of_it_still_runs() -> None:
    assert not ModelState(Phase.SUSPENDED, (Endpoint("127.0.0.1", 1),)).answers


def test_own_name_aliases_and_qualified_names_lead_to_the_model() -> None:
    names = snapshot_of(model("qwen", aliases=["qwen2.5"])).names
    assert {name: owner.key for name, owner in names.items()} == dict.fromkeys(
        ("qwen", "qwen2.5", "default/qwen", "default/qwen2.5"), "default/qwen"
    )


def test_a_model_for_routes_only_is_known_but_has_no_name() -> None:
    snapshot = snapshot_of(model("qwen", exposure="RoutesOnly"), route("chat", {"backends": [backend("qwen")]}))
    assert "default/qwen" in snapshot.models
    assert set(snapshot.names) == {"chat", "default/chat"}


def test_a_rule_keeps_its_headers_weights_fallbacks_and_times() -> None:
    snapshot = snapshot_of(
        model("big"),
        model("small"),
        route(
            "chat",
            {
                "match": header("x-tier", "gold"),
                "backends": [backend("big", 3)],
                "fallbacks": [fallback("small")],
                "timeouts": {"firstByte": "5s", "idle": "2m"},
            },
        ),
    )
    (rule,) = snapshot.routes["default/chat"].rules
    assert rule.headers == {"x-tier": "gold"}
    assert rule.backends == {"default/big": 3}
    assert rule.fallbacks == ("default/small",)
    assert (rule.policy.first_byte_seconds, rule.policy.idle_seconds) == (5, 120)


def test_a_backend_that_is_missing_is_left_out_and_named() -> None:
    chat = snapshot_of(model("qwen"), route("chat", {"backends": [backend("gone"), backend("qwen")]})).routes[
        "default/chat"
    ]
    assert chat.rules[0].backends == {"default/qwen": 1}
    assert chat.problems == ("the Model default/gone does not exist",)


def test_a_model_of_another_namespace_is_used_only_where_it_allows_that() -> None:
    rules = {"backends": [backend("open", namespace="team-a"), backend("shut", namespace="team-a")]}
    chat = snapshot_of(
        model("open", namespace="team-a", allowedRoutes={"namespaces": ["default"]}),
        model("shut", namespace="team-a"),
        route("chat", rules),
    ).routes["default/chat"]
    assert chat.rules[0].backends == {"team-a/open": 1}
    (problem,) = chat.problems
    assert "team-a/shut" in problem
    assert "spec.allowedRoutes.namespaces" in problem


def test_the_time_of_creation_is_kept_in_seconds() -> None:
    snapshot = snapshot_of(model("qwen", created="2026-11-23T00:00:00Z"))
    assert snapshot.models["default/qwen"].created_seconds == int(datetime(2026, 11, 23, tzinfo=UTC).timestamp())


class TestGroups:
    """Which Models a rule asks, in order."""

    one, two, three = "default/one", "default/two", "default/three"

    def asked(self, rule: Rule, *answering: str) -> list[dict[str, int]]:
        states = {key: ready() for key in answering}
        models = snapshot_of(model("one"), model("two"), model("three"), states=states).models
        return list(backend_groups(rule, models))

    def test_a_backend_that_does_not_answer_is_left_out_while_another_does(self) -> None:
        rule = Rule({self.one: 90, self.two: 10})
        assert self.asked(rule, self.two) == [{self.two: 10}]

    def test_where_nothing_answers_all_stay_so_that_the_agent_says_why(self) -> None:
        rule = Rule({self.one: 90, self.two: 10}, fallbacks=(self.three,))
        assert self.asked(rule) == [{self.one: 90, self.two: 10}, {self.three: 1}]

    def test_a_fallback_comes_first_while_no_backend_answers(self) -> None:
        rule = Rule({self.one: 1}, fallbacks=(self.two, self.three))
        assert self.asked(rule, self.three) == [{self.three: 1}]

    def test_a_weight_of_zero_takes_a_backend_out(self) -> None:
        assert self.asked(Rule({self.one: 0, self.two: 1}), self.one, self.two) == [{self.two: 1}]

    def test_a_backend_is_not_its_own_fallback(self) -> None:
        rule = Rule({self.one: 1}, fallbacks=(self.one, self.two))
        assert self.asked(rule, self.one, self.two) == [{self.one: 1}, {self.two: 1}]


def test_only_listed_namespaces_own_names_without_a_namespace() -> None:
    models = [
        model("qwen", namespace="old", created="2026-01-01T00:00:00Z"),
        model("qwen", namespace="team", created="2026-02-01T00:00:00Z"),
    ]
    everybody = build_snapshot(models, [], {}).names
    listed = build_snapshot(models, [], {}, bare_namespaces=["team"]).names
    assert (everybody["qwen"].namespace, listed["qwen"].namespace) == ("old", "team")
    assert "old/qwen" in listed, "the others are reached by their whole names"


SQL = {"name": "sql", "source": {"uri": "oci://localhost/sql:1"}}


def test_an_adapter_is_served_by_the_engines_of_its_model_under_a_name_of_its_own() -> None:
    state = ready(Endpoint("127.0.0.1", 7))
    snapshot = snapshot_of(model("qwen", aliases=["q"], adapters=[SQL]), states={"qwen": state})
    base, adapter = snapshot.models["default/qwen"], snapshot.models["default/qwen:sql"]
    assert (base.engine_name, adapter.engine_name) == ("qwen", "qwen:sql")
    assert base.state == adapter.state == state
    assert {name: owner.key for name, owner in snapshot.names.items() if ":" in name} == dict.fromkeys(
        ("qwen:sql", "q:sql", "default/qwen:sql", "default/q:sql"), "default/qwen:sql"
    )


def test_a_route_may_lead_to_an_adapter_and_to_its_model() -> None:
    rule = {"backends": [backend("qwen", 9), backend("qwen", 1, adapter="sql")]}
    (found,) = snapshot_of(model("qwen", adapters=[SQL]), route("chat", rule)).routes["default/chat"].rules
    assert found.backends == {"default/qwen": 9, "default/qwen:sql": 1}


def test_an_adapter_that_a_model_has_not_is_left_out_and_named() -> None:
    rule = {"backends": [backend("qwen", 9), backend("qwen", 1, adapter="poem")]}
    found = snapshot_of(model("qwen", adapters=[SQL]), route("chat", rule)).routes["default/chat"]
    assert found.rules[0].backends == {"default/qwen": 9}
    assert found.problems == ("the Model default/qwen has no adapter poem",)
