"""Manifests, indexes and configs that lie about what there is."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gguf_builders import llama_gguf
from oci_artifacts import Layer, make_layers

from berth_api.artifact import Format
from berth_store.digest import digest_of
from hostile.case import CONFIG_V02, FILEPATH, INDEX, MODEL_FILE, Hostile, described, of_body, of_files

WEIGHTS = llama_gguf()
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b"{}"
LAYER = described(WEIGHTS, MODEL_FILE, annotations={FILEPATH: "m.gguf"})
BLOBS = {str(digest_of(content)): content for content in (CONFIG, WEIGHTS)}
GOOD: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": MANIFEST,
    "config": described(CONFIG, CONFIG_V02),
    "layers": [LAYER],
}
OTHER = "sha256:" + "0" * 64


def build(canary: Path) -> Iterator[Hostile]:
    """One lie each."""
    for what, (change, says) in _changes(canary).items():
        yield Hostile(what, of_body({**GOOD, **change}, BLOBS), says)
    for what, body in _bodies().items():
        yield Hostile(what, of_body(body, BLOBS), "no OCI manifest")
    yield Hostile(
        "a manifest of five megabytes", of_body({**GOOD, "annotations": {"a": "x" * (5 << 20)}}, BLOBS), "larger"
    )
    yield from _lies_of_the_registry()
    yield from _indexes()
    yield from _configs()
    harmless = [Layer(WEIGHTS, MODEL_FILE, {FILEPATH: "m.gguf", "x" * 1000: "y" * 1000})]
    yield Hostile("long annotations", make_layers(harmless, config_type=CONFIG_V02), serves=Format.GGUF)
    foreign = {**GOOD, "layers": [{**LAYER, "urls": ["http://169.254.169.254/latest/meta-data"]}]}
    yield Hostile("a layer with an address of its own", of_body(foreign, BLOBS), serves=Format.GGUF)
    subject = {**GOOD, "subject": described(b"x", MANIFEST, digest="sha256:../../x")}
    yield Hostile("a subject that leads elsewhere", of_body(subject, BLOBS), serves=Format.GGUF)


def _changes(canary: Path) -> dict[str, tuple[dict[str, Any], str]]:
    digests = {
        "a path": f"sha256:../../../..{canary}",
        "a path behind digits": "sha256:" + "a" * 60 + "/../",
        "capitals": "sha256:" + "A" * 64,
        "too few digits": "sha256:" + "a" * 63,
        "too many digits": "sha256:" + "a" * 65,
        "a line feed": "sha256:" + "a" * 64 + "\n",
        "another algorithm": "sha512:" + "a" * 128,
        "md5": "md5:" + "a" * 32,
        "no algorithm": "a" * 64,
        "nothing": "",
        "a number": 7,
        "digits of another script": "sha256:" + "\u0661" * 64,
    }
    sizes = {
        "below nothing": -1,
        "2^60": 1 << 60,
        "2^200": 1 << 200,
        "a fraction": 1.5,
        "words": "many",
        "nothing": None,
    }
    return {
        **{
            f"a layer's digest is {what}": ({"layers": [{**LAYER, "digest": bad}]}, "layers.0.digest")
            for what, bad in digests.items()
        },
        **{
            f"a config's digest is {what}": ({"config": {**GOOD["config"], "digest": bad}}, "config.digest")
            for what, bad in digests.items()
        },
        **{f"a size is {what}": ({"layers": [{**LAYER, "size": bad}]}, "layers.0.size") for what, bad in sizes.items()},
        "two sizes for one digest": ({"layers": [LAYER, {**LAYER, "size": 4}]}, "two sizes"),
        "five thousand layers": ({"layers": [LAYER] * 5000}, "layers"),
        "no layers": ({"layers": []}, "no files"),
        "layers that are none": ({"layers": {"0": LAYER}}, "layers"),
        "layers of nulls": ({"layers": [None]}, "layers.0"),
        "no config": ({"config": None}, "config"),
        "a config in a list": ({"config": [GOOD["config"]]}, "config"),
        "another schema": ({"schemaVersion": 1}, "schemaVersion"),
        "a type in a list": ({"mediaType": [MANIFEST]}, "mediaType"),
        "annotations of numbers": ({"layers": [{**LAYER, "annotations": {FILEPATH: 7}}]}, "annotations"),
        "annotations in annotations": ({"layers": [{**LAYER, "annotations": {FILEPATH: {"a": "b"}}}]}, "annotations"),
        "a type of a megabyte": ({"layers": [{**LAYER, "mediaType": "x" * (1 << 20)}]}, "layers.0.mediaType"),
        "a web page": (
            {"config": {**GOOD["config"], "mediaType": "text/html"}, "layers": [{**LAYER, "annotations": None}]},
            "text/html",
        ),
        "a Helm chart": (
            {
                "config": {**GOOD["config"], "mediaType": "application/vnd.cncf.helm.config.v1+json"},
                "layers": [{**LAYER, "annotations": None}],
            },
            "helm",
        ),
        "an image whose layer is no archive": (
            {"config": {**GOOD["config"], "mediaType": "application/vnd.oci.image.config.v1+json"}},
            "container image",
        ),
    }


def _bodies() -> dict[str, object]:
    deep: object = b"[" * 100_000 + b"]" * 100_000
    return {
        "nothing": b"",
        "no JSON": b"{",
        "a list": b"[]",
        "a text": b'"manifest"',
        "a null": b"null",
        "half of it": json.dumps(GOOD).encode()[:200],
        "nested 100,000 deep": deep,
        "objects nested 100,000 deep": b'{"layers":' * 100_000,
        "bytes that are no text": b"\xff\xfe" + json.dumps(GOOD).encode(),
        "numbers of a million digits": b'{"schemaVersion":' + b"9" * 1_000_000 + b"}",
        "no numbers": json.dumps({**GOOD, "layers": [{**LAYER, "size": float("nan")}]}).encode(),
        "an endless number": json.dumps({**GOOD, "layers": [{**LAYER, "size": float("inf")}]}).encode(),
        "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
    }


def _lies_of_the_registry() -> Iterator[Hostile]:
    digest = str(digest_of(WEIGHTS))
    for what, content in (
        ("of the same length", bytes(len(WEIGHTS))),
        ("shorter", WEIGHTS[:-1]),
        ("longer", WEIGHTS + b"x"),
        ("empty", b""),
        ("of another model", llama_gguf(general__name="Huge")),
    ):
        yield Hostile(f"other bytes, {what}", of_body(GOOD, {**BLOBS, digest: content}), "sha256:", may_resolve=True)
    for what, size in (("larger", len(WEIGHTS) + 1), ("smaller", len(WEIGHTS) - 1), ("none", 0)):
        body = {**GOOD, "layers": [{**LAYER, "size": size}]}
        yield Hostile(f"a size that is {what}", of_body(body, BLOBS), "sha256:", may_resolve=True)
    body = {**GOOD, "layers": [{**LAYER, "size": 1 << 44}]}
    yield Hostile("a size of 16 terabytes", of_body(body, BLOBS), "are free", may_resolve=True)
    yield Hostile("a blob that is not there", of_body(GOOD, {str(digest_of(CONFIG)): CONFIG}), "no such blob")


def _indexes() -> Iterator[Hostile]:
    good = json.dumps(GOOD).encode()

    def index(*entries: dict[str, Any]) -> dict[str, Any]:
        return {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}

    inner = json.dumps(index(described(good, MANIFEST))).encode()
    disguised = index(described(inner, MANIFEST))
    yield Hostile(
        "an index in an index",
        of_body(index(described(inner, INDEX)), BLOBS),
        "index",
        beside=(inner, good),
    )
    yield Hostile(
        "an index that poses as a manifest", of_body(disguised, BLOBS), "index of indexes", beside=(inner, good)
    )
    yield Hostile("an index of nothing", of_body(index(), BLOBS), "0 manifests")
    two = index(described(good, MANIFEST), described(inner, MANIFEST))
    yield Hostile("an index of two", of_body(two, BLOBS), "2 manifests", beside=(good, inner))
    yield Hostile("an index of five thousand", of_body(index(*[described(good, MANIFEST)] * 5000), BLOBS), "manifests")
    missing = index(described(b"?", MANIFEST))
    yield Hostile("an index of what is not there", of_body(missing, BLOBS), "no such tag")
    path = index(described(good, MANIFEST, digest="sha256:../../../../v2/other/manifests/1"))
    yield Hostile("an index that leads elsewhere", of_body(path, BLOBS), "manifests.0.digest")
    hidden = index({**described(good, MANIFEST), "annotations": {"vnd.docker.reference.type": "attestation-manifest"}})
    yield Hostile("an index of an attestation", of_body(hidden, BLOBS), "0 manifests", beside=(good,))
    yield Hostile(
        "an index with one model", of_body(index(described(good, MANIFEST)), BLOBS), serves=Format.GGUF, beside=(good,)
    )


def _configs() -> Iterator[Hostile]:
    for what, size in (("100 MB", 100 << 20), ("an exabyte", 1 << 50)):
        body = {**GOOD, "config": {**GOOD["config"], "size": size, "digest": OTHER}}
        yield Hostile(f"a config of {what}", of_body(body, BLOBS), "the config claims")
    for what, config in (
        ("nested deeply", json.loads("[" * 500 + "]" * 500)),
        ("a list", []),
        ("a format of a megabyte", {"config": {"format": "x" * (1 << 20)}}),
        ("a number of weights without end", {"config": {"format": "gguf", "parameters": "9" * 5000}}),
    ):
        layers = [Layer(WEIGHTS, MODEL_FILE, {FILEPATH: "m.gguf"})]
        yield Hostile(
            f"a config that is {what}", make_layers(layers, config_type=CONFIG_V02, config=config), serves=Format.GGUF
        )
    yield Hostile(
        "the same file in many layers",
        of_files({f"{n}.txt": b"x" for n in range(500)} | {"m.gguf": WEIGHTS}),
        serves=Format.GGUF,
    )
