"""The pod that serves a Model, field by field."""

import json
from typing import Any

import pytest
from operator_builders import DIGEST, Json, World, a_node, a_report, a_resolved_world, some_settings
from signatures import a_key, an_authority, by_authority, by_key, pem_of, public_pem

from berth_operator.settings import CABundle, ConfigMapKey, Loader, Variable
from berth_store.loader.arguments import parse_arguments
from berth_store.signing.demand import Demand

MEBI = 1 << 20
ROOT = an_authority()


def template(**known: Any) -> Json:
    found: Json = a_resolved_world(**known).deployment["spec"]["template"]
    return found


def engine(**known: Any) -> Json:
    (found,) = template(**known)["spec"]["containers"]
    return dict(found)


def fetch(**known: Any) -> Json:
    (found,) = template(**known)["spec"]["initContainers"]
    return dict(found)


def on_gpu(**known: Any) -> World:
    return a_resolved_world(accelerator={"profiles": ["l4"], **known.pop("accelerator", {})}, **known)


def test_the_loader_fetches_the_digest_that_was_resolved() -> None:
    assert fetch()["command"] == [
        *("python", "-m", "berth_store.loader", "--source", "oci://registry.example.com/ai/qwen:1"),
        *("--digest", DIGEST, "--into", "/models", "--progress-port", "8001"),
    ]
    assert fetch()["ports"] == [{"name": "progress", "containerPort": 8001, "protocol": "TCP"}]


def test_the_engine_is_started_with_what_a_laptop_would_start() -> None:
    command = engine()["command"]
    assert command[:5] == ["python", "-m", "berth_runtime", "--model", "qwen=/models/model"]
    assert command[command.index("--engine") + 1] == "LlamaCpp"
    assert command[command.index("--port") + 1] == "8000"


def test_a_named_engine_is_shown_the_file_that_it_loads() -> None:
    assert "qwen=/models/model/model.gguf" in engine(engine={"type": "LlamaCpp"})["command"]


@pytest.mark.parametrize(("name", "written"), [("$(HOME).gguf", "$$(HOME).gguf"), ("$$(HOME)$$", "$$$$(HOME)$$$$")])
def test_the_kubelet_expands_nothing_in_arguments(name: str, written: str) -> None:
    found = engine(engine={"type": "LlamaCpp"}, report=a_report().replace("model.gguf", name))["command"]
    assert f"qwen=/models/model/{written}" in found


def test_the_engine_reads_the_models_volume_and_the_loader_writes_it() -> None:
    mounts = {mount["mountPath"]: mount for mount in engine()["volumeMounts"]}
    assert mounts["/models"]["readOnly"] is True
    assert "readOnly" not in next(mount for mount in fetch()["volumeMounts"] if mount["mountPath"] == "/models")


def test_the_volume_and_the_ephemeral_storage_follow_the_size_of_the_artifact() -> None:
    pod = template()["spec"]
    (models,) = [volume for volume in pod["volumes"] if volume["name"] == "models"]
    assert models["emptyDir"] == {"sizeLimit": "781Mi"}  # 500 MiB, 5 % and 256 MiB
    resources = pod["containers"][0]["resources"]
    assert resources["requests"]["ephemeral-storage"] == "909Mi"
    assert resources["limits"]["ephemeral-storage"] == "2829Mi"


def test_memory_is_requested_by_the_size_of_the_artifact() -> None:
    assert engine()["resources"]["requests"]["memory"] == "1112Mi"  # 500 MiB, a fifth, 512 MiB
    assert "memory" not in engine()["resources"]["limits"]


@pytest.mark.parametrize("part", ["requests", "limits"])
def test_who_names_a_resource_decides_on_its_request_and_limit_alone(part: str) -> None:
    resources = engine(resources={part: {"memory": "3Gi", "ephemeral-storage": "9Gi"}})["resources"]
    assert resources == {part: {"ephemeral-storage": "9Gi", "memory": "3Gi"}}


def test_without_a_size_nothing_is_derived_from_it() -> None:
    pod = template(report=a_report(sizeBytes=None))["spec"]
    assert "resources" not in pod["containers"][0]
    assert {"name": "models", "emptyDir": {}} in pod["volumes"]


def test_the_pod_ends_after_the_gateway_has_heard_and_requests_are_finished() -> None:
    pod = template(rollout={"drainTimeout": "1m"})["spec"]
    assert pod["terminationGracePeriodSeconds"] == 5 + 60 + 10
    assert pod["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}


def test_the_probes_ask_for_a_proved_answer() -> None:
    found = engine()
    assert found["startupProbe"]["httpGet"]["path"] == "/health/ready"
    assert found["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert found["livenessProbe"]["httpGet"]["path"] == "/health/live"


@pytest.mark.parametrize(
    ("size", "deadline", "seconds"),
    [
        (0, "30m", 180),
        (320 * MEBI, "30m", 190),
        (320 * MEBI, "1m", 60),
        (64 * 1024 * MEBI, "1h", 180 + 2048),
        (None, "7m", 420),
        (0, "0s", 1),
    ],
)
def test_a_start_may_take_as_long_as_the_artifact_is_large(size: int | None, deadline: str, seconds: int) -> None:
    probe = engine(report=a_report(sizeBytes=size), rollout={"startDeadline": deadline})["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == seconds


def test_the_users_variables_come_as_they_stand() -> None:
    secret = {"secretKeyRef": {"name": "s", "key": "k"}}
    env = engine(pod={"env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": secret}, {"name": "C"}]})["env"]
    assert env == [
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": secret},
        {"name": "C", "value": ""},
        {"name": "HOME", "value": "/tmp"},
    ]


def test_a_home_of_the_users_own_is_kept() -> None:
    assert engine(pod={"env": [{"name": "HOME", "value": "/models"}]})["env"] == [{"name": "HOME", "value": "/models"}]


def test_a_chat_template_is_mounted_and_passed_on() -> None:
    found = template(chatTemplate={"configMapRef": {"name": "templates", "key": "qwen.jinja"}})["spec"]
    container = found["containers"][0]
    assert container["command"][container["command"].index("--chat-template") + 1] == (
        "/etc/berth/chat-template/qwen.jinja"
    )
    volume = {"name": "templates", "items": [{"key": "qwen.jinja", "path": "qwen.jinja"}]}
    assert {"name": "chat-template", "configMap": volume} in found["volumes"]


def test_the_pull_secret_is_for_the_loader_alone() -> None:
    pod = template(source={"uri": "oci://r.example/m:1", "secretRef": {"name": "token"}})["spec"]
    init, container = pod["initContainers"][0], pod["containers"][0]
    assert {"name": "DOCKER_CONFIG", "value": "/var/run/secrets/berth/registry"} in init["env"]
    assert "registry" in [mount["name"] for mount in init["volumeMounts"]]
    assert "registry" not in [mount["name"] for mount in container["volumeMounts"]]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "registry"]
    assert volume["secret"]["items"] == [
        {"key": ".dockerconfigjson", "path": "config.json"},
        {"key": "ca.crt", "path": "ca.crt"},
    ]


@pytest.mark.parametrize(
    ("uri", "keys"),
    [
        ("hf://Qwen/Qwen3-8B", ["host", "token", "username", "password"]),
        ("https://files.example.com/model.gguf", ["host", "token", "username", "password"]),
        ("s3://models/qwen3", ["accessKeyId", "secretAccessKey", "sessionToken", "endpoint", "region"]),
    ],
)
def test_of_another_sources_secret_the_loader_gets_what_that_source_knows_and_no_more(
    uri: str, keys: list[str]
) -> None:
    pod = template(source={"uri": uri, "secretRef": {"name": "login"}})["spec"]
    init, container = pod["initContainers"][0], pod["containers"][0]
    assert {"name": "BERTH_SOURCE_SECRET", "value": "/var/run/secrets/berth/source"} in init["env"]
    assert "DOCKER_CONFIG" not in [variable["name"] for variable in init["env"]]
    assert {"name": "source", "mountPath": "/var/run/secrets/berth/source", "readOnly": True} in init["volumeMounts"]
    assert "source" not in [mount["name"] for mount in container["volumeMounts"]]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "source"]
    assert volume["secret"] == {
        "secretName": "login",
        "items": [{"key": key, "path": key} for key in (*keys, "ca.crt")],
        "defaultMode": 0o440,
        "optional": True,
    }


def test_the_loader_gets_the_key_that_stands_in_the_model_as_one_word() -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nMFkw$\n-----END PUBLIC KEY-----\n"
    pod = template(source={"uri": "oci://r.example/m:1", "signature": {"key": {"pem": pem}}})["spec"]
    assert f"--signed-by-key={pem.replace('$', '$$')}" in pod["initContainers"][0]["command"]
    assert "signature" not in [volume["name"] for volume in pod["volumes"]]


@pytest.mark.parametrize(
    ("signature", "demand"),
    [
        ({"key": {"pem": public_pem(a_key())}}, by_key(a_key())),
        (
            {"certificate": {"pem": pem_of(ROOT), "signers": ["-a", "b$(HOME)"]}},
            by_authority(ROOT, "-a", "b$(HOME)"),
        ),
    ],
    ids=["key", "authority"],
)
def test_the_loader_understands_what_it_is_told_of_signatures(signature: Json, demand: Demand) -> None:
    command = fetch(source={"uri": "oci://r.example/m:1", "signature": signature})["command"]
    as_started = [word.replace("$$", "$") for word in command]
    assert parse_arguments(as_started[3:]).demand == demand


def test_the_loader_is_told_which_of_an_authoritys_signers_may() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    certificate = {"pem": pem, "signers": ["release@example.com", "-x"]}
    command = fetch(source={"uri": "oci://r.example/m:1", "signature": {"certificate": certificate}})["command"]
    at = command.index(f"--signed-by-authority={pem}")
    assert command[at + 1 : at + 3] == ["--signer=release@example.com", "--signer=-x"]


@pytest.mark.parametrize(("way", "option"), [("key", "--signed-by-key"), ("certificate", "--signed-by-authority")])
def test_of_a_config_map_the_loader_alone_sees_the_one_key_that_is_named(way: str, option: str) -> None:
    reference = {"name": "model-keys", "key": "release.pem"}
    pod = template(source={"uri": "oci://r.example/m:1", "signature": {way: {"configMapRef": reference}}})["spec"]
    init, container = pod["initContainers"][0], pod["containers"][0]
    assert f"{option}=/etc/berth/signature/release.pem" in init["command"]
    assert {"name": "signature", "mountPath": "/etc/berth/signature", "readOnly": True} in init["volumeMounts"]
    assert "BERTH_CA_BUNDLE" not in [variable["name"] for variable in init["env"]]  # It vouches for no server.
    assert "signature" not in [mount["name"] for mount in container["volumeMounts"]]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "signature"]
    items = [{"key": "release.pem", "path": "release.pem"}]
    assert volume["configMap"] == {"name": "model-keys", "items": items, "optional": True}


def test_a_branch_is_fetched_at_the_commit_that_was_resolved() -> None:
    report = json.dumps(json.loads(a_report()) | {"revision": "c0ffee" * 6 + "c0ff"})
    command = fetch(source={"uri": "hf://Qwen/Qwen3-8B", "files": ["*.json", "-x"]}, report=report)["command"]
    assert command[3:-4] == [
        *("--source", "hf://Qwen/Qwen3-8B", "--digest", DIGEST),
        *("--files=*.json", "--files=-x", "--revision", "c0ffee" * 6 + "c0ff"),
    ]


def test_the_installation_says_how_registries_are_reached() -> None:
    loader = Loader(insecure_registries=("a:5000", "b"), env=(Variable(name="HTTPS_PROXY", value="http://p"),))
    env = fetch(settings=some_settings(loader=loader))["env"]
    assert {"name": "BERTH_INSECURE_REGISTRIES", "value": "a:5000,b"} in env
    assert {"name": "HTTPS_PROXY", "value": "http://p"} in env


def test_who_fetches_trusts_the_installations_authorities_and_the_secrets() -> None:
    loader = Loader(ca_bundle=CABundle(config_map=ConfigMapKey(name="authorities", key="ca-certificates.crt")))
    source = {"uri": "oci://r.example/m:1", "secretRef": {"name": "token"}}
    pod = template(source=source, settings=some_settings(loader=loader))["spec"]
    init, container = pod["initContainers"][0], pod["containers"][0]
    paths = "/var/run/secrets/berth/registry/ca.crt:/etc/berth/ca-bundle/ca.crt"
    assert {"name": "BERTH_CA_BUNDLE", "value": paths} in init["env"]
    assert {"name": "ca-bundle", "mountPath": "/etc/berth/ca-bundle", "readOnly": True} in init["volumeMounts"]
    items = [{"key": "ca-certificates.crt", "path": "ca.crt"}]
    bundle = {"name": "authorities", "items": items, "optional": True}
    assert {"name": "ca-bundle", "configMap": bundle} in pod["volumes"]
    assert "ca-bundle" not in [mount["name"] for mount in container["volumeMounts"]]


def test_where_nobody_fetches_or_names_a_bundle_there_is_none() -> None:
    loader = Loader(ca_bundle=CABundle(config_map=ConfigMapKey(name="authorities")))
    mounted = template(cache={"type": "ImageVolume"}, settings=some_settings(loader=loader))["spec"]
    for pod in (mounted, template()["spec"]):
        assert "ca-bundle" not in [volume["name"] for volume in pod["volumes"]]
        assert "BERTH_CA_BUNDLE" not in [variable["name"] for variable in pod["initContainers"][0]["env"]]


def test_the_loader_gets_what_the_administrator_gives_it_and_modest_resources_otherwise() -> None:
    given = Loader(resources={"requests": {"cpu": "2"}})
    assert fetch(settings=some_settings(loader=given))["resources"] == {"requests": {"cpu": "2"}}
    assert fetch()["resources"]["limits"] == {"memory": "1Gi"}


def test_pod_options_are_handed_through() -> None:
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
    found = template(
        pod={
            "labels": {"team": "a"},
            "annotations": {"example.com/owner": "b"},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "x", "operator": "Exists"}],
            "affinity": affinity,
            "priorityClassName": "high",
            "runtimeClassName": "gvisor",
            "serviceAccountName": "reader",
            "imagePullSecrets": [{"name": "mine"}],
        },
        settings=some_settings(image_pull_secrets=("ours", "mine")),
    )
    assert found["metadata"]["labels"]["team"] == "a"
    assert found["metadata"]["annotations"] == {"example.com/owner": "b"}
    pod = found["spec"]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "x", "operator": "Exists"}]
    assert pod["affinity"] == affinity
    assert (pod["priorityClassName"], pod["runtimeClassName"]) == ("high", "gvisor")
    assert pod["serviceAccountName"] == "reader"
    assert pod["imagePullSecrets"] == [{"name": "ours"}, {"name": "mine"}]


def test_what_the_user_does_not_say_is_not_in_the_pod() -> None:
    unsaid = {"nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "serviceAccountName"}
    assert not unsaid & template()["spec"].keys()


def test_a_spread_without_a_selector_counts_the_models_own_pods() -> None:
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    (found,) = template(pod={"topologySpreadConstraints": [spread]})["spec"]["topologySpreadConstraints"]
    assert found["labelSelector"]["matchLabels"]["berth.dev/model"] == "qwen"


def test_a_gpu_model_asks_for_the_profiles_device_node_and_image() -> None:
    pod = on_gpu().deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert container["image"] == "berth/cuda:1"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"gpu": "l4"}
    assert "n-gpu-layers=-1" in container["command"]
    assert container["resources"]["requests"]["memory"] == "1074Mi"  # 1 GiB and a tenth of the files


def test_rocm_has_its_own_image_and_device() -> None:
    pod = a_resolved_world(accelerator={"profiles": ["mi300"], "count": 2}).deployment["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "berth/rocm:1"
    assert pod["containers"][0]["resources"]["limits"]["amd.com/gpu"] == "2"


def test_a_profile_wins_over_the_users_node_selector_where_they_differ() -> None:
    world = on_gpu(pod={"nodeSelector": {"gpu": "mine", "disk": "ssd"}})
    assert world.deployment["spec"]["template"]["spec"]["nodeSelector"] == {"gpu": "l4", "disk": "ssd"}


def test_tolerations_of_user_and_profile_add_up() -> None:
    taint = {"key": "gpu", "operator": "Exists"}
    profiles = {"l4": {"memory": "24Gi", "tolerations": [taint, {"key": "x"}], "runtimeClassName": "nvidia"}}
    settings = some_settings().model_validate({**some_settings().model_dump(by_alias=True), "profiles": profiles})
    world = on_gpu(pod={"tolerations": [taint]}, settings=settings)
    pod = world.deployment["spec"]["template"]["spec"]
    assert pod["tolerations"] == [taint, {"key": "x"}]
    assert pod["runtimeClassName"] == "nvidia"


def test_shared_memory_is_a_volume_in_memory() -> None:
    pod = on_gpu(accelerator={"sharedMemory": "8Gi"}).deployment["spec"]["template"]["spec"]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}} in pod["volumes"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]


def test_an_image_of_the_users_own_is_taken() -> None:
    assert engine(engine={"image": "mine:1"})["image"] == "mine:1"
    assert (
        on_gpu(engine={"image": "mine:1"}).deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "mine:1"
    )


def test_a_pod_is_let_out_while_it_loads_and_never_holds_a_token() -> None:
    found = template()
    assert found["metadata"]["labels"]["berth.dev/loading"] == ""
    assert found["spec"]["automountServiceAccountToken"] is False
    assert found["spec"]["enableServiceLinks"] is False


def test_the_revision_names_the_content_of_the_template() -> None:
    revision = template()["metadata"]["labels"]["berth.dev/revision"]
    assert template()["metadata"]["labels"]["berth.dev/revision"] == revision
    assert template(contextLength=2048)["metadata"]["labels"]["berth.dev/revision"] != revision


@pytest.mark.parametrize(
    "changed",
    [
        {"namespace": "elsewhere"},
        {"port": 9999},
        {"monitoring_labels": {"app": "prometheus"}},
        {"log_level": "debug"},
        {"profiles": {}},
    ],
)
def test_an_upgrade_of_the_operator_restarts_no_pod(changed: Json) -> None:
    assert template(settings=some_settings(**changed)) == template()


@pytest.mark.parametrize(
    "changed", [{"aliases": ["a"]}, {"exposure": "RoutesOnly"}, {"replicas": 5}, {"suspend": True}]
)
def test_an_edit_of_names_or_numbers_restarts_no_pod(changed: Json) -> None:
    assert template(**changed) == template()


def test_nodes_that_fill_up_restart_no_pod() -> None:
    free, full = (a_node(gpus=2),), (a_node(gpus=1),)
    found = [on_gpu(nodes=nodes).deployment["spec"]["template"] for nodes in (free, full, None)]
    assert found[0] == found[1] == found[2]
