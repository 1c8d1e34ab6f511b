"""Helm in any order: upgrade, uninstall, install again. Models serve all the while. Leaves the release installed."""

import pytest

from berth_api.names import child_name
from berth_kube.resources import PODS, SERVICES
from e2e.conftest import MODELS_NAMESPACE
from e2e.support.audit import AuditLog
from e2e.support.objects import MODELS, ROUTES, Json, Objects, containers_of, is_true, name_of, uid_of
from e2e.support.programs import helm, kubectl
from e2e.support.registry import tag_again
from e2e.support.release import NAMESPACE, Release
from e2e.support.starts import Starts
from e2e.support.traffic import no_request_fails
from e2e.support.until import until

NEXT = "next"


@pytest.fixture(autouse=True)
def serving(quickstart: Starts) -> None:
    """The quick start."""


def engine_pods(objects: Objects) -> dict[str, tuple[int, ...]]:
    """UID of each engine pod, and how often its containers were restarted."""
    pods = objects.items(PODS, MODELS_NAMESPACE, "app.kubernetes.io/component=engine")
    return {uid_of(pod): tuple(each["restartCount"] for each in containers_of(pod)) for pod in pods}


def engine_address(objects: Objects, model: str) -> str:
    """Where a Model's pods serve, by the Service that stays when the gateway goes."""
    return str(objects.read(SERVICES, MODELS_NAMESPACE, child_name(model, "engine"))["spec"]["clusterIP"])


def declared(objects: Objects) -> Json:
    """UID and spec of every Model and ModelRoute."""
    found = [*objects.items(MODELS, MODELS_NAMESPACE), *objects.items(ROUTES, MODELS_NAMESPACE)]
    return {uid_of(one): (name_of(one), one["spec"]) for one in found}


def test_an_upgrade_restarts_no_model_and_fails_no_request(objects: Objects, release: Release) -> None:
    before = engine_pods(objects)
    assert len(before) >= 2
    tag_again(release.images["operator"], NEXT)
    with no_request_fails(release.address(), "minilm"):
        release.upgrade(
            {
                "images": {"operator": {"tag": NEXT}},
                "operator": {"logLevel": "debug"},
            }
        )
    assert engine_pods(objects) == before
    pods = objects.items(PODS, NAMESPACE, "app.kubernetes.io/name=berth")
    stay = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    images = {each["image"] for pod in stay for each in pod["spec"]["containers"]}
    assert {image.rpartition(":")[2] for image in images if "operator" in image} == {NEXT}


def test_uninstalling_and_installing_again_loses_no_model_while_its_pods_serve(
    objects: Objects, release: Release, log: AuditLog
) -> None:
    pods, models = engine_pods(objects), declared(objects)
    with log.excused(), no_request_fails(engine_address(objects, "minilm"), "minilm") as traffic:
        release.uninstall()
        assert "berth" not in helm("list", "--namespace", NAMESPACE, "--short")
        traffic.more(20)
        assert (engine_pods(objects), declared(objects)) == (pods, models)
        release.install()
    assert (engine_pods(objects), declared(objects)) == (pods, models)


def test_after_a_new_installation_the_old_models_answer(objects: Objects, release: Release) -> None:
    until(
        lambda: all(is_true(one, "Ready") for one in objects.items(MODELS, MODELS_NAMESPACE)),
        seconds=30,
        what="all are Ready",
    )
    with no_request_fails(release.address(), "minilm") as traffic:
        traffic.more(20)


def test_a_model_may_be_deleted_while_berth_is_away(objects: Objects, release: Release) -> None:
    release.scale_operator(0)
    try:
        kubectl(
            "delete",
            "model/minilm-next",
            "modelroute/embed",
            "-n",
            MODELS_NAMESPACE,
            "--timeout=20s",
            "--ignore-not-found",
        )
        until(
            lambda: not objects.items(PODS, MODELS_NAMESPACE, "berth.dev/model=minilm-next"),
            seconds=40,
            what="its pods are gone",
        )
    finally:
        release.scale_operator(2)
