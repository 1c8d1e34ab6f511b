"""Objects of the cluster through the official Python client, as plain JSON whatever their kind is."""

import json
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import kubernetes
import urllib3

from berth_kube.resources import Key, Resource

MODELS = Resource("berth.dev", "v1alpha1", "models", "Model")
ROUTES = Resource("berth.dev", "v1alpha1", "modelroutes", "ModelRoute")
REQUEST_SECONDS = 15.0
Json = dict[str, Any]


class Refused(AssertionError):  # noqa: N818 - reads as what happened
    """The API server answered with an error, whose HTTP status is `status`; 0 where it did not answer."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(f"the API server answered {status or 'nothing'}: {text}")


class Objects:
    """Reads and small writes as the cluster's administrator."""

    def __init__(self) -> None:
        kubernetes.config.load_kube_config()  # type: ignore[no-untyped-call]
        self._api = kubernetes.client.ApiClient()

    def get(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """The object, or None where it is not there."""
        try:
            return self._ask("GET", resource.path(Key(namespace, name)))
        except Refused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def read(self, resource: Resource, namespace: str, name: str) -> Json:
        """The object, which has to be there."""
        found = self.get(resource, namespace, name)
        assert found is not None, f"there is no {resource.kind} {namespace}/{name}"
        return found

    def items(self, resource: Resource, namespace: str = "", labels: str = "") -> list[Json]:
        """All objects of a kind, of one namespace or (empty) of all, by label selector."""
        query = f"?{urlencode({'labelSelector': labels})}" if labels else ""
        found: list[Json] = self._ask("GET", resource.path(namespace=namespace) + query)["items"]
        return found

    def patch_status(self, resource: Resource, name: str, status: Mapping[str, Any]) -> None:
        """Merge into the status of an object of the cluster, as a device plugin does on its node."""
        self._ask("PATCH", resource.path(Key("", name), subresource="status"), {"status": dict(status)})

    def merge(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any]) -> Json:
        """Merge into an object, as `kubectl patch --type merge` does."""
        return self._ask("PATCH", resource.path(Key(namespace, name)), dict(patch))

    def delete(self, resource: Resource, namespace: str, name: str, *, grace_seconds: int | None = None) -> None:
        """Delete an object; one that is gone is fine."""
        query = "" if grace_seconds is None else f"?gracePeriodSeconds={grace_seconds}"
        try:
            self._ask("DELETE", resource.path(Key(namespace, name)) + query)
        except Refused as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise

    def _ask(self, method: str, path: str, body: object = None) -> Json:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        request = self._api.param_serialize(
            method, path, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            answer: Any = self._api.call_api(*request, _request_timeout=REQUEST_SECONDS)
            answer.read()
        except kubernetes.client.ApiException as error:
            raise Refused(error.status, str(error.body)) from error
        except urllib3.exceptions.HTTPError as error:
            raise Refused(0, str(error)) from error
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise Refused(answer.status, answer.data.decode(errors="replace"))
        document: Json = json.loads(answer.data)
        return document


def name_of(obj: Mapping[str, Any]) -> str:
    """The object's name."""
    return str(obj["metadata"]["name"])


def uid_of(obj: Mapping[str, Any]) -> str:
    """The object's UID."""
    return str(obj["metadata"]["uid"])


def condition_of(obj: Mapping[str, Any], wanted: str) -> Json | None:
    """One condition of the object's status, or None where nothing was said about it."""
    found: Sequence[Json] = obj.get("status", {}).get("conditions", ())
    return next((condition for condition in found if condition["type"] == wanted), None)


def is_true(obj: Mapping[str, Any], wanted: str) -> bool:
    """Whether that condition is True at the object's own generation, where it names one."""
    condition = condition_of(obj, wanted)
    if condition is None or condition["status"] != "True":
        return False
    generation = obj["metadata"].get("generation")
    return bool(condition.get("observedGeneration", generation) == generation)


def containers_of(pod: Mapping[str, Any]) -> Iterator[Json]:
    """The statuses of a pod's containers, those of init containers first."""
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses", ())
    yield from status.get("containerStatuses", ())
