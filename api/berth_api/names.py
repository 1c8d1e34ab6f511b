"""Names, labels and annotations: what Berth writes on its objects, and what clients may send as `model`."""

import hashlib

from berth_api.meta import GROUP

MANAGED_BY = "berth"
GATEWAY_SERVICE = "berth-gateway"
MODEL_HEADER = "x-berth-model"
"""Set by the gateway to the engine's own name, on every request that it forwards."""

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_MODEL = f"{GROUP}/model"
LABEL_ROUTE = f"{GROUP}/route"
LABEL_REVISION = f"{GROUP}/revision"
LABEL_LOADING = f"{GROUP}/loading"
"""On a pod until its weights are there; the network policy lets only such pods out."""

ANNOTATION_APPLIED_HASH = f"{GROUP}/applied-hash"
ANNOTATION_DIGEST = f"{GROUP}/digest"
ANNOTATION_RESOLUTION = f"{GROUP}/resolution"
"""On a Deployment: what is known of the artifact, and which question (`inputs`) that is the answer to."""
ANNOTATION_EXTRAS = f"{GROUP}/extras"
"""On a Deployment: the same of each adapter, by its name, and of the draft model."""
ANNOTATION_PROFILE = f"{GROUP}/profile"
ANNOTATION_INPUTS = f"{GROUP}/inputs"
ANNOTATION_ATTEMPT = f"{GROUP}/attempt"
"""On a resolver Job: how many there were in a row for the same inputs, from 1 on."""
ANNOTATION_GOOD_REVISION = f"{GROUP}/last-good-revision"
ANNOTATION_FAILED_REVISION = f"{GROUP}/last-failed-revision"

CHILD_NAME_MAX = 63
_HASH_LENGTH = 8


def model_labels(name: str) -> dict[str, str]:
    """The labels that select the engine's pods of a Model, and nothing else."""
    return {LABEL_NAME: MANAGED_BY, LABEL_COMPONENT: "engine", LABEL_MANAGED_BY: MANAGED_BY, LABEL_MODEL: name}


def child_name(owner: str, *suffixes: str) -> str:
    """The name of an object made for `owner`: `owner-suffix…`, at most 63 characters.

    A name that would be longer is cut and ends in a hash of the whole, so that two owners never share a child.
    """
    whole = "-".join((owner, *suffixes))
    if len(whole) <= CHILD_NAME_MAX:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{whole[: CHILD_NAME_MAX - _HASH_LENGTH - 1].rstrip('-.')}-{digest}"


def gateway_address(namespace: str) -> str:
    """The OpenAI base URL that clients in the cluster use; `namespace` is the one that Berth is installed in."""
    return f"http://{GATEWAY_SERVICE}.{namespace}/v1"


def address_of(name: str, adapter: str = "") -> str:
    """What clients send, and what engines call it: a Model by `name`, or one of its adapters as `name:adapter`."""
    return f"{name}:{adapter}" if adapter else name
