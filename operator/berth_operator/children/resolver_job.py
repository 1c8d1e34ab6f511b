"""The Job that finds out what a source holds. It has that source's Secret, and its answer is its last word."""

from typing import Final

from berth_api.names import ANNOTATION_ATTEMPT, ANNOTATION_INPUTS, LABEL_LOADING
from berth_kube.resources import JOBS
from berth_operator.children.loader import build_resolver_container, source_volumes
from berth_operator.children.metadata import Manifest, owner_reference, resolver_labels, with_hash
from berth_operator.children.names import resolver_name
from berth_operator.children.options import as_given, pull_secrets
from berth_operator.children.restricted import pod_security, temporary_volume
from berth_operator.children.signature import signature_volumes
from berth_operator.resolution import Question
from berth_operator.settings import OperatorSettings

DEADLINE_SECONDS: Final = 300
_FORGET_SECONDS: Final = 3600
"""Long after the operator has read and deleted it: a safety net, not the way it ends."""


def build_resolver_job(question: Question, attempt: int, settings: OperatorSettings) -> Manifest:
    """The Job of one attempt. It never runs twice by itself: the operator decides on the next attempt."""
    model, inputs = question.model, question.inputs
    labels = resolver_labels(model.metadata.name)
    return with_hash(
        {
            "apiVersion": JOBS.api_version,
            "kind": JOBS.kind,
            "metadata": {
                "name": resolver_name(model.metadata.name, inputs, attempt),
                "namespace": model.metadata.namespace,
                "labels": labels,
                "annotations": {ANNOTATION_INPUTS: inputs, ANNOTATION_ATTEMPT: str(attempt)},
                "ownerReferences": [owner_reference(model)],
            },
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": DEADLINE_SECONDS,
                "ttlSecondsAfterFinished": _FORGET_SECONDS,
                "template": {
                    "metadata": {"labels": {**labels, LABEL_LOADING: ""}},
                    "spec": _pod(question, settings),
                },
            },
        }
    )


def _pod(question: Question, settings: OperatorSettings) -> Manifest:
    spec: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "containers": [build_resolver_container(question, settings)],
        "volumes": [
            temporary_volume(),
            *source_volumes([(question.source, "")], settings),
            *signature_volumes(question.source),
        ],
    }
    options = question.model.spec.pod
    # It may run anywhere, but where every node is tainted, it must tolerate what the Model's own pods do.
    said = {
        "imagePullSecrets": pull_secrets(options, settings),
        "tolerations": [as_given(toleration) for toleration in options.tolerations],
    }
    return {**spec, **{name: value for name, value in said.items() if value}}
