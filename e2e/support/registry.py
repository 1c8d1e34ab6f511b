"""The cluster's registry without a client of ours: what it has, and the same image under one more tag."""

import urllib.error
import urllib.request
from http import HTTPStatus

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
REQUEST_SECONDS = 10.0


def has(reference: str) -> bool:
    """Whether an artifact `host/repository:tag` is there."""
    url, tag = _manifests_of(reference)
    asked = urllib.request.Request(f"{url}/{tag}", headers={"Accept": _MANIFEST}, method="HEAD")  # noqa: S310 - http
    try:
        urllib.request.urlopen(asked, timeout=REQUEST_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True


def tag_again(reference: str, tag: str) -> None:
    """Give the image `host/repository:tag` one more tag in its registry."""
    url, old = _manifests_of(reference)
    asked = urllib.request.Request(f"{url}/{old}", headers={"Accept": _MANIFEST})  # noqa: S310
    with urllib.request.urlopen(asked, timeout=REQUEST_SECONDS) as answer:  # noqa: S310
        content, kind = answer.read(), answer.headers["Content-Type"]
    told = urllib.request.Request(  # noqa: S310
        f"{url}/{tag}", data=content, headers={"Content-Type": kind}, method="PUT"
    )
    urllib.request.urlopen(told, timeout=REQUEST_SECONDS).close()  # noqa: S310


def _manifests_of(reference: str) -> tuple[str, str]:
    repository, _, tag = reference.rpartition(":")
    host, _, path = repository.partition("/")
    return f"http://{host}/v2/{path}/manifests", tag
