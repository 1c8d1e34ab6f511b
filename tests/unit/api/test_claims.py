"""Who owns which name at the gateway."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from model_builders import a_backend, a_model, a_route

from berth_api.claims import Claims, Owner, claim_names
from berth_api.model import Model
from berth_api.model_spec import Exposure
from berth_api.route import ModelRoute

OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


def owner(claims: Claims, sent: str) -> str | None:
    found = claims.owner_of(sent)
    return None if found is None else f"{found.kind} {found.key}"


def test_a_model_answers_to_its_name_and_aliases() -> None:
    claims = claim_names([a_model("qwen", aliases=["qwen2.5"])], [])
    for sent in ("qwen", "qwen2.5", "default/qwen", "default/qwen2.5"):
        assert owner(claims, sent) == "Model default/qwen"
    assert owner(claims, "other/qwen") is None


def an_adapter(name: str) -> dict[str, Any]:
    return {"name": name, "source": {"uri": f"oci://localhost/{name}:1"}}


def test_an_adapter_answers_beside_every_name_of_its_model() -> None:
    claims = claim_names([a_model("qwen", aliases=["qwen2.5"], adapters=[an_adapter("sql"), an_adapter("poem")])], [])
    for sent in ("qwen:sql", "qwen2.5:sql", "default/qwen:sql", "default/qwen2.5:sql"):
        assert owner(claims, sent) == "Model default/qwen:sql"
    assert owner(claims, "qwen:poem") == "Model default/qwen:poem"
    assert owner(claims, "qwen") == "Model default/qwen"
    for sent in ("qwen:", "qwen:prose", "sql", "other/qwen:sql"):
        assert owner(claims, sent) is None


def test_an_adapters_bare_name_goes_with_the_name_of_its_model() -> None:
    first = a_model("qwen", namespace="a", created=OLD)
    later = a_model("qwen", namespace="b", created=NEW, adapters=[an_adapter("sql")])
    claims = claim_names([first, later], [])
    assert owner(claims, "qwen:sql") is None, "the Model that has this name has no such adapter"
    assert owner(claims, "b/qwen:sql") == "Model b/qwen:sql"
    assert [conflict.name for conflict in claims.conflicts] == ["qwen"], "one conflict, not one for each adapter"


def test_a_route_that_took_a_models_name_took_those_of_its_adapters_away() -> None:
    claims = claim_names([a_model("chat", adapters=[an_adapter("sql")])], [a_route("r", names=["chat"])])
    assert owner(claims, "chat:sql") is None
    assert owner(claims, "default/chat:sql") == "Model default/chat:sql"


def test_a_model_for_routes_only_has_no_names_for_its_adapters() -> None:
    claims = claim_names([a_model("qwen", exposure="RoutesOnly", adapters=[an_adapter("sql")])], [])
    assert not claims.bare
    assert not claims.qualified


def test_the_oldest_claimant_owns_a_name_and_the_later_one_is_told() -> None:
    first = a_model("qwen", namespace="b", created=OLD)
    later = a_model("other", namespace="a", created=NEW, aliases=["qwen"])
    claims = claim_names([later, first], [])
    assert owner(claims, "qwen") == "Model b/qwen"
    (conflict,) = claims.conflicts
    assert (conflict.name, conflict.loser.key, conflict.owner.key) == ("qwen", "a/other", "b/qwen")
    assert not conflict.is_overridden
    assert "clients reach this one as `a/qwen`" in conflict.message
    assert claims.conflicts_of(conflict.loser) == (conflict,)


def test_among_claimants_of_one_age_the_key_decides() -> None:
    claims = claim_names([a_model("m", namespace="b"), a_model("m", namespace="a")], [])
    assert owner(claims, "m") == "Model a/m"


def test_a_route_beats_the_older_model_of_its_own_namespace() -> None:
    claims = claim_names([a_model("chat", created=OLD)], [a_route("r", names=["chat"], created=NEW)])
    assert owner(claims, "chat") == "ModelRoute default/r"
    assert [conflict.is_overridden for conflict in claims.conflicts] == [True]


def test_a_route_does_not_beat_an_older_model_of_another_namespace() -> None:
    claims = claim_names([a_model("chat", namespace="a", created=OLD)], [a_route("chat", namespace="b", created=NEW)])
    assert owner(claims, "chat") == "Model a/chat"
    assert owner(claims, "b/chat") == "ModelRoute b/chat"


def test_a_new_route_does_not_cost_its_namespace_the_name() -> None:
    models = [
        a_model("chat", namespace="a", created=OLD),
        a_model("chat", namespace="b", created="2026-01-15T00:00:00Z"),
    ]
    claims = claim_names(models, [a_route("chat", namespace="a", created=NEW)])
    assert owner(claims, "chat") == "ModelRoute a/chat"


def test_a_model_behind_routes_owns_no_name() -> None:
    claims = claim_names(
        [a_model("qwen", aliases=["q"], exposure="RoutesOnly")], [a_route("chat", backends={"qwen": 1})]
    )
    assert owner(claims, "qwen") is None
    assert owner(claims, "q") is None
    assert owner(claims, "default/qwen") is None
    assert owner(claims, "chat") == "ModelRoute default/chat"


def test_the_qualified_name_reaches_the_model_even_where_a_route_took_the_bare_one() -> None:
    claims = claim_names([a_model("chat")], [a_route("r", names=["chat", "gpt"])])
    assert owner(claims, "chat") == "ModelRoute default/r"
    assert owner(claims, "default/chat") == "Model default/chat"
    assert owner(claims, "default/gpt") == "ModelRoute default/r"


CLIENT_NAMES = ("a", "b", "c", "d")
TIMES = st.sampled_from([None, OLD, NEW])
NAMESPACES = st.sampled_from(["x", "y"])
NAME_LISTS = st.lists(st.sampled_from(CLIENT_NAMES), min_size=1, max_size=3, unique=True)
MODELS = st.builds(
    lambda name, namespace, created, aliases, exposure: a_model(
        name, namespace=namespace, created=created, aliases=aliases, exposure=exposure
    ),
    st.sampled_from(CLIENT_NAMES),
    NAMESPACES,
    TIMES,
    NAME_LISTS,
    st.sampled_from(list(Exposure)),
)
ROUTES = st.builds(
    lambda name, namespace, created, names: a_route(
        name, namespace=namespace, created=created, names=names, rules=[{"backends": [a_backend("m")]}]
    ),
    st.sampled_from(CLIENT_NAMES),
    NAMESPACES,
    TIMES,
    NAME_LISTS,
)
WORLDS = st.tuples(
    st.lists(MODELS, max_size=5, unique_by=lambda model: model.key),
    st.lists(ROUTES, max_size=4, unique_by=lambda route: route.key),
)
World = tuple[list[Model], list[ModelRoute]]


def wanted(each: Model | ModelRoute) -> set[str]:
    if isinstance(each, ModelRoute):
        return set(each.spec.names)
    return {each.metadata.name, *each.spec.aliases} if each.spec.exposure is Exposure.DIRECT else set()


def owner_of(each: Model | ModelRoute) -> Owner:
    return Owner(each.kind, each.metadata.namespace, each.metadata.name)


@settings(max_examples=60, deadline=None)
@given(world=WORLDS, data=st.data())
def test_the_order_of_the_objects_does_not_matter(world: World, data: st.DataObject) -> None:
    models, routes = world
    shuffled = claim_names(data.draw(st.permutations(models)), data.draw(st.permutations(routes)))
    assert shuffled == claim_names(models, routes)


@settings(max_examples=60, deadline=None)
@given(world=WORLDS)
def test_every_wanted_name_has_one_owner_who_wanted_it_and_every_other_is_told(world: World) -> None:
    everyone: list[Model | ModelRoute] = [*world[0], *world[1]]
    claims = claim_names(*world)
    assert set(claims.bare) == set().union(*(wanted(each) for each in everyone))
    lost = {(conflict.name, conflict.loser) for conflict in claims.conflicts}
    for each in everyone:
        for name in wanted(each):
            assert (claims.bare[name] == owner_of(each)) != ((name, owner_of(each)) in lost)
    assert len(lost) == len(claims.conflicts)


@settings(max_examples=60, deadline=None)
@given(world=WORLDS)
def test_a_removed_owner_frees_its_names_and_costs_no_other_namespace_one(world: World) -> None:
    models, routes = world
    everyone: list[Model | ModelRoute] = [*models, *routes]
    before = claim_names(models, routes)
    for removed in set(before.bare.values()):
        after = claim_names(
            [model for model in models if owner_of(model) != removed],
            [route for route in routes if owner_of(route) != removed],
        )
        for name, owned_by in before.bare.items():
            if owned_by == removed:
                others = [each for each in everyone if owner_of(each) != removed and name in wanted(each)]
                assert (after.bare.get(name) is None) == (not others)
            else:
                assert after.bare[name].namespace == owned_by.namespace or removed.namespace == owned_by.namespace


@settings(max_examples=60, deadline=None)
@given(world=WORLDS)
def test_the_qualified_name_of_a_direct_model_always_reaches_it(world: World) -> None:
    claims = claim_names(*world)
    for model in world[0]:
        expected = owner_of(model) if model.spec.exposure is Exposure.DIRECT else None
        found = claims.owner_of(model.key)
        assert found == expected or (expected is None and found is not None)


@settings(max_examples=60, deadline=None)
@given(world=WORLDS, listed=st.sets(NAMESPACES))
def test_where_namespaces_are_listed_the_others_own_bare_names_as_if_they_were_not_there(
    world: World, listed: set[str]
) -> None:
    models, routes = world
    claims = claim_names(models, routes, bare_namespaces=listed)
    alone = claim_names(
        [model for model in models if model.metadata.namespace in listed],
        [route for route in routes if route.metadata.namespace in listed],
    )
    assert (claims.bare, claims.conflicts) == (alone.bare, alone.conflicts)
    assert claims.qualified == claim_names(models, routes).qualified
