"""Adapters of a Model, and its draft model, on their way from the manifest into pods."""

import json
from typing import Any

import pytest
from operator_builders import (
    ADAPTER_DIGEST,
    ADAPTER_SIZE,
    DIGEST,
    NOW,
    SIZE,
    Json,
    World,
    a_pod,
    a_refusal,
    a_report,
    a_world,
    an_adapter,
    an_adapter_report,
    condition,
    ended,
    running,
    waiting,
)
from operator_builders import says as said

from berth_api.memory import volume_bytes
from berth_operator.children.names import MODELS_PATH
from berth_operator.children.resources import in_mebibytes
from berth_store.evict import link_name
from berth_store.holds import hold_path
from berth_store.loader.arguments import parse_arguments
from berth_store.loader.load import STORE_NAME
from berth_store.resolver.__main__ import build_parser

CLAIM: Json = {"type": "Claim", "claim": {"claimName": "weights"}}
HUB: Json = {"uri": "hf://loras/poem", "secretRef": {"name": "hub"}}


def a_world_with(*adapters: Json, report: str | None = None, **spec: Any) -> World:
    """One whose sources are all resolved, with its children written."""
    world = a_world(adapters=list(adapters or [an_adapter()]), **spec)
    world.step()
    world.resolve(report)
    for adapter in adapters or [an_adapter()]:
        world.resolve(an_adapter_report(), adapter=adapter["name"])
    return world.settle()


def pod_of(world: World) -> Json:
    spec: Json = world.deployment["spec"]["template"]["spec"]
    return spec


def options(command: list[str], name: str) -> list[str]:
    return [command[index + 1] for index, word in enumerate(command) if word == name]


def test_each_source_is_asked_by_a_job_of_its_own_and_all_at_once() -> None:
    world = a_world(adapters=[an_adapter("sql"), an_adapter("poem")])
    world.step()
    commands = [job["spec"]["template"]["spec"]["containers"][0]["command"] for job in world.jobs()]
    asked = [build_parser().parse_args(command[3:]) for command in commands]
    assert {(each.source, each.adapter) for each in asked} == {
        ("oci://registry.example.com/ai/qwen:1", False),
        ("oci://registry.example.com/loras/sql:1", True),
        ("oci://registry.example.com/loras/poem:1", True),
    }


def test_a_model_waits_for_its_last_adapter() -> None:
    world = a_world(adapters=[an_adapter("sql"), an_adapter("poem")])
    world.step()
    world.resolve().resolve(an_adapter_report(), adapter="sql").settle()
    assert "Deployment" not in world.kinds()
    assert said(world.status, "Resolved") == ("False", "Resolving")
    assert condition(world.status, "Resolved")["message"].startswith("the adapter poem: finding out")
    world.resolve(an_adapter_report(), adapter="poem").settle()
    assert said(world.status, "Resolved") == ("True", "Resolved")
    assert condition(world.status, "Resolved")["message"].endswith("; with the adapter sql, the adapter poem")
    assert world.jobs() == []


def test_what_was_found_of_each_is_remembered_and_not_asked_again() -> None:
    world = a_world_with()
    kept = json.loads(world.deployment["metadata"]["annotations"]["berth.dev/extras"])
    assert kept["sql"]["artifact"]["digest"] == ADAPTER_DIGEST
    assert kept["sql"]["weights"] == ""
    world.edit(replicas=2).settle()
    assert world.jobs() == []


def test_the_jobs_stay_until_what_they_found_is_kept() -> None:
    world = a_world(adapters=[an_adapter()])
    world.step()
    world.resolve().resolve(an_adapter_report(), adapter="sql").step()
    assert len(world.jobs()) == 2
    world.settle()
    assert world.jobs() == []


def test_a_new_adapter_is_a_rollout_and_asks_only_after_itself() -> None:
    world = a_world_with().serve().settle()
    before = world.revision
    world.edit(adapters=[an_adapter("sql"), an_adapter("poem")]).step()
    (job,) = world.jobs()
    assert job in world.adapter_jobs("poem")
    assert world.revision == before, "what serves goes on while the new one is looked for"
    world.resolve(an_adapter_report(digest="sha256:" + "ef" * 32), adapter="poem").settle()
    assert world.revision != before
    assert [container["name"] for container in pod_of(world)["initContainers"]] == ["fetch", "fetch-sql", "fetch-poem"]


def test_an_adapter_that_is_taken_away_leaves_nothing() -> None:
    world = a_world_with().serve().settle()
    world.edit(adapters=None).settle()
    assert "berth.dev/extras" not in world.deployment["metadata"]["annotations"]
    assert [container["name"] for container in pod_of(world)["initContainers"]] == ["fetch"]
    assert "--adapter" not in pod_of(world)["containers"][0]["command"]


@pytest.mark.parametrize("reason", ["SourceNotFound", "SourceUnauthorized", "NoModelInSource"])
def test_an_adapter_that_is_not_found_keeps_what_serves_and_is_named(reason: str) -> None:
    world = a_world_with().serve().settle()
    before = world.deployment["spec"]
    world.edit(adapters=[an_adapter("sql"), an_adapter("poem")]).step()
    world.resolve(a_refusal(reason, "no such tag"), code=1, adapter="poem").step()
    assert said(world.status, "Resolved") == ("False", reason)
    assert condition(world.status, "Resolved")["message"].startswith("the adapter poem: no such tag")
    assert world.deployment["spec"] == before
    assert said(world.status, "Ready") == ("True", "Ready")


def test_a_source_that_wants_a_login_is_told_where_to_name_it() -> None:
    world = a_world(adapters=[an_adapter()])
    world.step()
    world.resolve().resolve(a_refusal("SourceUnauthorized", "401"), code=1, adapter="sql").settle()
    message = condition(world.status, "Resolved")["message"]
    assert "name a Secret in spec.adapters[0].source.secretRef" in message


@pytest.mark.parametrize("reason", ["UnsupportedFormat", "PickleRefused"])
def test_an_adapter_of_the_wrong_kind_is_a_fault_of_its_field(reason: str) -> None:
    world = a_world(adapters=[an_adapter()])
    world.step()
    world.resolve().resolve(a_refusal(reason, "it is a pickle"), code=1, adapter="sql").settle()
    assert said(world.status, "Accepted") == ("False", reason)
    assert condition(world.status, "Accepted")["message"].startswith("spec.adapters[0].source: it is a pickle")


@pytest.mark.parametrize(
    ("model", "adapter", "says"),
    [
        ({}, {"format": "Safetensors"}, "spec.adapters[0].source: the adapter sql is Safetensors"),
        ({"architecture": "llama"}, {"architecture": "qwen3"}, "for the architecture qwen3, and the model is llama"),
        ({"task": "Embedding"}, {}, "spec.adapters: adapters are for models that write text"),
        ({"format": "ONNX", "task": "Embedding"}, {}, "spec.adapters: OnnxRuntime serves no adapters"),
    ],
)
def test_an_adapter_that_does_not_fit_its_model_is_told_by_a_condition(model: Json, adapter: Json, says: str) -> None:
    world = a_world(adapters=[an_adapter()])
    world.step()
    world.resolve(a_report(**model)).resolve(an_adapter_report(**adapter), adapter="sql").settle()
    assert said(world.status, "Accepted")[0] == "False"
    assert says in condition(world.status, "Accepted")["message"]
    assert "Deployment" not in world.kinds()


def test_two_pins_of_an_adapter_that_differ_are_told_before_anything_is_asked() -> None:
    source = {"uri": f"oci://r.example/sql@{DIGEST}", "digest": ADAPTER_DIGEST}
    world = a_world(adapters=[{"name": "sql", "source": source}]).settle()
    message = condition(world.status, "Accepted")["message"]
    assert message.startswith("spec.adapters[0].source.digest: it pins")
    assert "spec.adapters[0].source.uri pins" in message
    assert world.jobs() == []


def test_a_pods_loader_brings_each_adapter_beside_the_model_where_the_engine_is_told_that_it_is() -> None:
    pod = pod_of(a_world_with(an_adapter("sql"), an_adapter("poem")))
    (model, *adapters), (engine,) = pod["initContainers"], pod["containers"]
    assert parse_arguments(model["command"][3:]).link == "model"
    for container, name in zip(adapters, ("sql", "poem"), strict=True):
        asked = parse_arguments(container["command"][3:])
        assert (asked.source, asked.digest) == (f"oci://registry.example.com/loras/{name}:1", ADAPTER_DIGEST)
        assert str(asked.into) == MODELS_PATH
        assert f"{name}={asked.into}/{asked.link}" in options(engine["command"], "--adapter")
        assert container["volumeMounts"] == model["volumeMounts"]
        assert "ports" not in container
    assert options(engine["command"], "--hold") == []


def test_in_a_claim_the_engine_holds_model_and_adapters_by_their_digests() -> None:
    world = a_world_with(cache=CLAIM)
    (_, fetch), (engine,) = pod_of(world)["initContainers"], pod_of(world)["containers"]
    asked = parse_arguments(fetch["command"][3:])
    assert (asked.shared_by, str(asked.into)) == ("qwen", "/models/berth")
    assert options(engine["command"], "--adapter") == [f"sql={MODELS_PATH}/{link_name(asked.digest)}"]
    store = asked.into.relative_to("/models/berth") / STORE_NAME
    assert options(engine["command"], "--hold") == [
        f"{MODELS_PATH}/{hold_path(store, digest, 'qwen')}" for digest in (DIGEST, ADAPTER_DIGEST)
    ]


def test_an_adapter_in_the_models_own_artifact_is_held_once() -> None:
    world = a_world(adapters=[an_adapter()], cache=CLAIM)
    world.step()
    world.resolve().resolve(an_adapter_report(digest=DIGEST), adapter="sql").settle()
    assert len(options(pod_of(world)["containers"][0]["command"], "--hold")) == 1


def test_no_container_sees_the_secret_of_another_source() -> None:
    world = a_world(
        source={"uri": "oci://r.example/m:1", "secretRef": {"name": "registry"}},
        adapters=[an_adapter("sql", secretRef={"name": "loras"}), {"name": "poem", "source": HUB}],
    )
    world.step()
    for job in world.jobs():
        assert len([volume for volume in job["spec"]["template"]["spec"]["volumes"] if "secret" in volume]) == 1
    world.resolve()
    for name in ("sql", "poem"):
        world.resolve(an_adapter_report(), adapter=name)
    world.settle()
    pod = pod_of(world)
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    seen = {
        container["name"]: {secrets[mount["name"]] for mount in container["volumeMounts"] if mount["name"] in secrets}
        for container in (*pod["initContainers"], *pod["containers"])
    }
    assert seen == {"fetch": {"registry"}, "fetch-sql": {"loras"}, "fetch-poem": {"hub"}, "engine": set()}
    variables = {one["name"]: one["value"] for one in pod["initContainers"][2]["env"]}
    assert variables["BERTH_SOURCE_SECRET"] == "/var/run/secrets/berth/source"


def test_each_adapter_is_held_to_its_own_signature() -> None:
    keys = {"configMapRef": {"name": "model-keys", "key": "sql.pem"}}
    world = a_world_with(an_adapter("sql", signature={"key": keys}), an_adapter("poem"))
    pod = pod_of(world)
    signed = {
        container["name"]: [mount["name"] for mount in container["volumeMounts"] if "signature" in mount["name"]]
        for container in (*pod["initContainers"], *pod["containers"])
    }
    assert [name for name, mounts in signed.items() if mounts] == ["fetch-sql"]
    (fetch,) = [container for container in pod["initContainers"] if container["name"] == "fetch-sql"]
    assert "--signed-by-key=/etc/berth/signature/sql.pem" in fetch["command"]
    assert signed["fetch-sql"] == ["signature-sql"]
    assert "signature-sql" in [volume["name"] for volume in pod["volumes"]]


def test_the_volume_and_the_memory_are_those_of_all_that_is_loaded() -> None:
    world = a_world_with()
    (volume,) = [volume for volume in pod_of(world)["volumes"] if volume["name"] == "models"]
    assert volume["emptyDir"]["sizeLimit"] == in_mebibytes(volume_bytes(SIZE + ADAPTER_SIZE))
    assert world.status["memory"]["weightsBytes"] == SIZE + ADAPTER_SIZE
    assert world.status["artifact"]["sizeBytes"] == SIZE


def fetches(*states: Json) -> Json:
    names = ("fetch", "fetch-sql", "fetch-poem")
    statuses = [
        {"name": name, "image": "berth/fetch:1", "state": state, "restartCount": 0}
        for name, state in zip(names, states, strict=True)
    ]
    return {"initContainerStatuses": statuses}


def test_a_pod_may_get_out_until_its_last_adapter_is_there() -> None:
    world = a_world_with(an_adapter("sql"), an_adapter("poem"))
    on_the_way = a_pod(revision=world.revision, status=fetches(ended(), ended(), running()))
    world.serve(0, on_the_way).step()
    assert "unlabel qwen-1" not in world.written
    assert world.status["loading"]["stage"] == "Fetching"
    there = a_pod(revision=world.revision, status=fetches(ended(), ended(), ended()))
    world.serve(0, there).step()
    assert "unlabel qwen-1" in world.written


def test_a_loader_that_fails_says_whose_files_it_was_after() -> None:
    world = a_world_with(an_adapter("sql"), an_adapter("poem"))
    states = (ended(), ended(1, a_refusal("DiskFull", "no room")), waiting("PodInitializing"))
    world.serve(0, a_pod(revision=world.revision, status=fetches(*states))).step()
    assert said(world.status, "Progressing") == ("False", "DiskFull")
    assert (
        "the files of the adapter sql could not be fetched: no room"
        in condition(world.status, "Progressing")["message"]
    )


def test_the_time_of_the_fetch_is_that_of_all_files() -> None:
    world = a_world_with(an_adapter("sql"), an_adapter("poem"))
    states = (ended(seconds=9), ended(seconds=3), ended(seconds=1))
    engine = running(NOW)
    pod = a_pod(revision=world.revision, status=fetches(*states), engine=engine, ready=True)
    world.serve(1, pod).step()
    took = {stage["name"]: stage["milliseconds"] for stage in world.status["stages"]}
    assert took["Fetched"] == 9000


SMALL: Json = {"source": {"uri": "oci://registry.example.com/ai/small:1"}, "tokens": 8}


def a_world_with_a_draft(*adapters: Json, **draft: Any) -> World:
    world = a_world(adapters=list(adapters), draft={**SMALL, **draft})
    world.step()
    for job in world.jobs():
        world.resolve(an_adapter_report() if "--adapter" in command_of(job) else a_report(), job=job)
    return world.settle()


def command_of(job: Json) -> list[str]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return list(container["command"])


def test_a_draft_model_is_resolved_as_one_that_only_goes_on_with_texts() -> None:
    world = a_world(draft=SMALL)
    world.step()
    (command,) = [command_of(job) for job in world.jobs() if SMALL["source"]["uri"] in command_of(job)]
    asked = build_parser().parse_args(command[3:])
    assert (asked.task, asked.engine, asked.own_template, asked.adapter) == ("Completion", "LlamaCpp", True, False)


def test_a_draft_model_comes_after_the_adapters_and_is_named_to_the_engine() -> None:
    world = a_world_with_a_draft(an_adapter("draft"))
    pod = pod_of(world)
    assert [container["name"] for container in pod["initContainers"]] == ["fetch", "fetch-draft", "fetch--draft"]
    asked = parse_arguments(pod["initContainers"][2]["command"][3:])
    engine = pod["containers"][0]["command"]
    assert options(engine, "--draft") == [f"{asked.into}/{asked.link}"]
    assert options(engine, "--draft-tokens") == ["8"]
    assert options(engine, "--adapter") == [f"draft={MODELS_PATH}/adapter-draft"]
    assert "; with the adapter draft, the draft model" in condition(world.status, "Resolved")["message"]
    assert world.jobs() == []


def test_how_far_it_may_guess_is_a_rollout_and_asks_nobody() -> None:
    world = a_world_with_a_draft().serve().settle()
    before = world.revision
    world.edit(draft={**SMALL, "tokens": 4}).settle()
    assert world.revision != before
    assert world.jobs() == []


def test_a_draft_model_that_can_not_guess_is_told_by_a_condition() -> None:
    world = a_world(draft=SMALL)
    world.step()
    own, small = sorted(world.jobs(), key=lambda job: SMALL["source"]["uri"] in command_of(job))
    world.resolve(a_report(), job=own).resolve(a_report(format="ONNX"), job=small).settle()
    assert said(world.status, "Accepted")[0] == "False"
    assert "spec.draft.source: the draft model is ONNX" in condition(world.status, "Accepted")["message"]
