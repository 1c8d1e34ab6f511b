"""The cluster's registry as a release sees it: the same image under one more tag."""

import urllib.request

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
REQUEST_SECONDS = 10.0


def tag_again(reference: str, tag: str) -> None:
    """Give the image `host/repository:tag` one more tag in its registry."""
    repository, _, old = reference.rpartition(":")
    host, _, path = repository.partition("/")
    url = f"http://{host}/v2/{path}/manifests"
    asked = urllib.request.Request(f"{url}/{old}", headers={"Accept": _MANIFEST})  # noqa: S310 - http, built above
    with urllib.request.urlopen(asked, timeout=REQUEST_SECONDS) as answer:  # noqa: S310
        content, kind = answer.read(), answer.headers["Content-Type"]
    told = urllib.request.Request(  # noqa: S310
        f"{url}/{tag}", data=content, headers={"Content-Type": kind}, method="PUT"
    )
    urllib.request.urlopen(told, timeout=REQUEST_SECONDS).close()  # noqa: S310
