"""Resolver Jobs: one at a time, made again after a back-off, gone once what they found is kept."""

import json
from datetime import timedelta

import pytest
from operator_builders import (
    DIGEST,
    NOW,
    Json,
    a_refusal,
    a_report,
    a_resolved_world,
    a_serving_world,
    a_world,
    condition,
    ended,
    running,
    stamp,
    waiting,
)
from operator_builders import says as said

from berth_operator.resolving import backoff_seconds


def attempts(world: object) -> list[str]:
    return [job["metadata"]["annotations"]["berth.dev/attempt"] for job in world.jobs()]  # type: ignore[attr-defined]


def test_a_running_resolver_is_waited_for() -> None:
    world = a_world().settle().pass_seconds(60)
    (job,) = world.jobs()
    job["status"] = {"active": 1}
    plan = world.step()
    assert world.written == []
    assert plan.again_after_seconds is None
    assert len(world.jobs()) == 1


def test_the_job_stays_until_what_it_found_is_kept() -> None:
    world = a_world()
    world.step()
    world.resolve()
    world.step()
    assert len(world.jobs()) == 1
    assert "berth.dev/resolution" in world.deployment["metadata"]["annotations"]
    world.step()
    assert world.jobs() == []


def test_a_lost_write_of_the_deployment_costs_no_second_job() -> None:
    world = a_world()
    world.step()
    world.resolve()
    world.step()
    del world.children["Deployment", "qwen-engine"]
    world.step()
    assert ("Deployment", "qwen-engine") in world.children
    assert attempts(world) == ["1"]


def test_a_deployment_that_somebody_deleted_is_made_again_without_asking_the_source() -> None:
    world = a_serving_world()
    before = world.deployment["spec"]
    del world.children["Deployment", "qwen-engine"]
    world.step()
    assert world.jobs() == []
    assert world.deployment["spec"] == before


def test_a_named_engine_is_resolved_again_because_no_status_has_the_path_of_its_file() -> None:
    world = a_serving_world(engine={"type": "LlamaCpp"})
    del world.children["Deployment", "qwen-engine"]
    world.step()
    assert len(world.jobs()) == 1


def test_a_status_that_speaks_of_another_generation_is_not_believed() -> None:
    world = a_serving_world()
    del world.children["Deployment", "qwen-engine"]
    world.edit(source={"uri": "oci://registry.example.com/ai/other:1"}).step()
    assert len(world.jobs()) == 1
    assert "Deployment" not in world.kinds()


def test_the_pods_word_counts_before_the_job_hears_of_it() -> None:
    world = a_world()
    world.step()
    world.resolve()
    world.jobs()[0]["status"] = {}
    world.step()
    assert said(world.status, "Resolved") == ("True", "Resolved")


@pytest.mark.parametrize("reason", ["SourceNotFound", "SourceUnauthorized", "SourceUnreachable", "NoModelInSource"])
def test_a_failed_resolver_gives_its_reason(reason: str) -> None:
    world = a_world()
    world.step()
    world.resolve(a_refusal(reason, "no such tag"), code=1)
    world.step()
    assert said(world.status, "Resolved") == ("False", reason)
    assert "no such tag" in condition(world.status, "Resolved")["message"]
    assert said(world.status, "Ready") == ("False", reason)
    assert said(world.status, "Progressing") == ("False", reason)
    assert world.events == [f"Warning {reason}"]


def test_a_failed_resolver_is_made_again_after_its_back_off_and_deleted_when_there_is_news() -> None:
    world = a_world()
    world.step()
    world.resolve(a_refusal("SourceNotFound"), code=1)
    assert world.step().again_after_seconds == 10
    assert world.pass_seconds(9).step().again_after_seconds == 1
    assert attempts(world) == ["1"]
    world.pass_seconds(1).step()
    assert attempts(world) == ["1", "2"]
    world.settle()
    assert attempts(world) == ["1", "2"]
    world.resolve(a_refusal("SourceUnauthorized"), code=1).settle()
    assert attempts(world) == ["2"]


def test_the_back_off_doubles_up_to_ten_minutes() -> None:
    assert [backoff_seconds(attempt) for attempt in (1, 2, 3, 4, 5, 6, 7, 100)] == [
        10,
        20,
        40,
        80,
        160,
        320,
        600,
        600,
    ]


def test_a_second_attempt_waits_longer() -> None:
    world = a_world()
    world.step()
    world.resolve(a_refusal("SourceNotFound"), code=1).pass_seconds(10).settle()
    world.resolve(a_refusal("SourceNotFound"), code=1)
    assert world.step().again_after_seconds == 20


def test_while_it_is_tried_again_the_condition_still_says_what_went_wrong() -> None:
    world = a_world()
    world.step()
    world.resolve(a_refusal("SourceNotFound"), code=1).pass_seconds(10).settle()
    assert said(world.status, "Resolved") == ("False", "SourceNotFound")
    assert "it is being tried again" in condition(world.status, "Resolved")["message"]
    assert len(world.events) == 1


def test_an_edit_of_the_source_is_tried_at_once_and_the_old_job_goes() -> None:
    world = a_world()
    world.step()
    world.resolve(a_refusal("SourceNotFound"), code=1).settle()
    world.edit(source={"uri": "oci://registry.example.com/ai/right:1"}).settle()
    (job,) = world.jobs()
    assert "oci://registry.example.com/ai/right:1" in job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert attempts(world) == ["1"]


def test_a_new_source_leaves_what_serves_until_it_is_known() -> None:
    world = a_serving_world()
    before = world.deployment["spec"]
    world.edit(source={"uri": "oci://registry.example.com/ai/other:1"}).settle()
    assert world.deployment["spec"] == before
    assert said(world.status, "Ready") == ("True", "Ready")
    assert said(world.status, "Progressing") == ("True", "Resolving")
    world.resolve(a_report(digest="sha256:" + "cd" * 32)).settle()
    assert world.deployment["spec"] != before


def test_a_model_that_goes_back_to_what_is_kept_needs_no_job() -> None:
    world = a_serving_world()
    good = world.document["spec"]["source"]
    world.edit(source={"uri": "oci://registry.example.com/ai/wrong:1"}).settle()
    world.edit(source=good).settle()
    assert world.jobs() == []
    assert said(world.status, "Progressing") == ("True", "Complete")


def test_a_pinned_model_needs_no_job_at_all() -> None:
    world = a_world(source={"uri": "oci://r.example/m", "digest": DIGEST}, artifact={"format": "GGUF", "task": "Chat"})
    world.step()
    assert world.jobs() == []
    assert world.deployment["metadata"]["annotations"]["berth.dev/digest"] == DIGEST


def test_a_node_whose_clock_is_ahead_does_not_put_the_next_attempt_off() -> None:
    world = a_world()
    world.step()
    world.resolve(a_refusal("SourceUnreachable"), code=1)
    terminated = world.job_pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]
    terminated["finishedAt"] = stamp(world.now + timedelta(hours=1))
    world.settle().pass_seconds(30).step()
    assert attempts(world) == ["1", "2"]


def test_a_resolver_that_gets_no_pod_says_so_before_its_time_is_over() -> None:
    world = a_world().settle().pass_seconds(20)
    assert world.step().again_after_seconds == 10
    assert "no pod was made" not in condition(world.status, "Resolved")["message"]
    world.pass_seconds(10).step()
    assert said(world.status, "Resolved") == ("False", "Resolving")
    assert "kubectl describe job qwen-resolve-" in condition(world.status, "Resolved")["message"]
    (job,) = world.jobs()
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": stamp(world.now)}
    job["status"] = {"conditions": [failed]}
    world.step()
    assert "no pod was made" in condition(world.status, "Resolved")["message"]


def test_a_resolver_that_did_not_end_in_time_says_what_kept_it() -> None:
    world = a_world()
    world.step()
    (job,) = world.jobs()
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "lastTransitionTime": stamp(NOW)}
    job["status"] = {"conditions": [failed]}
    world.step()
    assert said(world.status, "Resolved") == ("False", "SourceUnreachable")
    assert "did not end within 300 s" in condition(world.status, "Resolved")["message"]


def test_a_resolver_that_can_not_start_says_why() -> None:
    world = a_world()
    world.step()
    (job,) = world.jobs()
    owner = {"uid": job["metadata"]["uid"], "controller": True}
    state = waiting("ImagePullBackOff", "no such image")
    world.job_pods.append(
        {
            "metadata": {"name": "x", "ownerReferences": [owner]},
            "status": {"containerStatuses": [{"name": "resolve", "image": "berth/fetch:1", "state": state}]},
        }
    )
    world.step()
    assert "no such image" in condition(world.status, "Resolved")["message"]
    assert said(world.status, "Resolved") == ("False", "Resolving")


def test_what_a_mesh_puts_into_the_resolvers_pod_is_not_taken_for_the_resolver() -> None:
    world = a_world()
    world.step()
    (job,) = world.jobs()
    mesh = [{"name": "istio-init", "state": ended()}, {"name": "istio-proxy", "state": running()}]
    owner = {"uid": job["metadata"]["uid"], "controller": True}
    resolver = {"name": "resolve", "state": running()}
    pod: Json = {
        "metadata": {"name": "x", "ownerReferences": [owner]},
        "status": {"initContainerStatuses": mesh, "containerStatuses": [resolver]},
    }
    world.job_pods.append(pod)
    world.step()
    assert said(world.status, "Resolved") == ("False", "Resolving")
    resolver["state"] = ended(message=a_report())
    world.step()
    assert said(world.status, "Resolved") == ("True", "Resolved")


def test_a_done_job_whose_pod_is_not_seen_yet_is_waited_for_and_then_given_up() -> None:
    world = a_world()
    world.step()
    world.resolve()
    world.job_pods.clear()
    assert world.step().again_after_seconds == 2
    assert said(world.status, "Resolved") == ("False", "Resolving")
    world.pass_seconds(31).step()
    assert attempts(world) == ["1", "2"]


def test_a_resolver_that_is_killed_for_its_memory_is_the_administrators_matter() -> None:
    world = a_world()
    world.step()
    world.resolve("", code=137, reason="OOMKilled").step()
    assert "loader.resources" in condition(world.status, "Resolved")["message"]


def test_a_refused_login_names_the_secret() -> None:
    world = a_world(source={"uri": "oci://r.example/m:1", "secretRef": {"name": "token"}})
    world.step()
    world.resolve(a_refusal("SourceUnauthorized", "401"), code=1).step()
    assert "Secret `token`" in condition(world.status, "Resolved")["message"]


def test_a_refused_login_without_a_secret_says_where_one_is_named() -> None:
    world = a_world()
    world.step()
    world.resolve(a_refusal("SourceUnauthorized", "401"), code=1).step()
    assert "spec.source.secretRef" in condition(world.status, "Resolved")["message"]


@pytest.mark.parametrize("reason", ["UnsupportedFormat", "PickleRefused", "InvalidSpec"])
def test_what_the_spec_asks_for_in_vain_is_not_accepted(reason: str) -> None:
    world = a_world()
    world.step()
    world.resolve(a_refusal(reason, "it holds pickles"), code=1).step()
    assert said(world.status, "Accepted") == ("False", reason)
    assert said(world.status, "Resolved") == ("False", reason)


def test_a_job_of_another_model_of_that_name_is_not_ours() -> None:
    world = a_world().settle()
    (job,) = world.jobs()
    job["metadata"]["ownerReferences"][0]["uid"] = "somebody"
    plan = world.plan()
    assert [write.body["kind"] for write in plan.writes] == ["NetworkPolicy", "Job"]
    assert plan.deletes == ()


def test_how_long_it_took_is_shown_also_when_the_job_is_gone() -> None:
    world = a_resolved_world()
    assert world.jobs() == []
    assert {"name": "Resolved", "milliseconds": 3000} in world.status["stages"]


def test_notes_of_the_resolver_are_told() -> None:
    report = json.loads(a_report()) | {"notes": ["the tokenizer is a guess"]}
    world = a_resolved_world(report=json.dumps(report))
    assert "the tokenizer is a guess" in condition(world.status, "Resolved")["message"]


def test_who_has_signed_is_told() -> None:
    world = a_resolved_world(report=a_report(signer="the key sha256:ab"))
    assert "; signed by the key sha256:ab" in condition(world.status, "Resolved")["message"]
    assert world.status["artifact"]["signer"] == "the key sha256:ab"


def test_a_clock_that_jumps_back_only_waits() -> None:
    world = a_world()
    world.step()
    world.resolve(a_refusal("SourceNotFound"), code=1)
    world.now = NOW - timedelta(hours=1)
    assert world.step().again_after_seconds == 3610


@pytest.mark.parametrize(
    ("source", "reason", "said"),
    [
        ({"uri": "hf://a/b", "secretRef": {"name": "login"}}, "LicenseGated", "no; the Secret is `login`"),
        ({"uri": "hf://a/b", "secretRef": {"name": "login"}}, "SourceUnauthorized", "no; the Secret is `login`"),
        ({"uri": "hf://a/b"}, "LicenseGated", "no"),
        ({"uri": "oci://r.example/m:1"}, "SourceUnauthorized", "no; if it needs a login, name a Secret in"),
    ],
)
def test_a_refusal_names_the_secret(source: Json, reason: str, said: str) -> None:
    world = a_world(source=source)
    world.step()
    world.resolve(a_refusal(reason, "no"), code=1)
    world.step()
    assert condition(world.status, "Resolved")["reason"] == reason
    assert condition(world.status, "Resolved")["message"].startswith(said)


def test_a_branch_of_hugging_face_is_resolved_again_because_no_status_has_its_commit() -> None:
    world = a_serving_world(source={"uri": "hf://Qwen/Qwen3-8B"})
    del world.children["Deployment", "qwen-engine"]
    world.step()
    assert len(world.jobs()) == 1


def test_the_resolver_asks_another_source_with_its_secret_and_patterns() -> None:
    source = {"uri": "s3://models/qwen3", "files": ["*.gguf"], "secretRef": {"name": "keys"}}
    world = a_world(source=source)
    world.step()
    (job,) = world.jobs()
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][3:6] == ["--source", "s3://models/qwen3", "--files=*.gguf"]
    assert {"name": "BERTH_SOURCE_SECRET", "value": "/var/run/secrets/berth/source"} in container["env"]
    assert [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume] == ["keys"]
