"""The digest that pins files, as anybody can reckon it; and the receipts of files whose digest nobody told."""

import os
import re
import subprocess
from pathlib import Path

from oci_artifacts import make_artifact

from berth_store.digest import digest_of
from berth_store.local import Store
from berth_store.reference import Reference
from berth_store.sources.identity import content_digest, listed_digest
from berth_store.sources.protocol import ListedFile
from berth_store.sweep import sweep

GUIDE = Path(__file__).parents[3] / "docs/sources.md"
FILES = {"a b.json": b"{}", "a/model.safetensors": b"weights" * 1000, "a-b": b"", "Ä.txt": b"x", "b": b"y"}


def test_the_command_of_the_guide_reckons_the_same(tmp_path: Path) -> None:
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (command,) = re.findall(r"```sh\n(# in a folder.*?)```", GUIDE.read_text(), re.DOTALL)
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    said = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environ, capture_output=True, check=True)
    ours = content_digest((name, len(content), digest_of(content)) for name, content in FILES.items())
    assert ours == f"sha256:{said.stdout.decode().split()[0]}"


def test_a_version_never_passes_for_a_digest() -> None:
    digest = digest_of(b"x")
    by_digest = listed_digest([ListedFile("a", 1, digest=digest)])
    assert by_digest == content_digest([("a", 1, digest)])
    assert by_digest != listed_digest([ListedFile("a", 1, version=digest)])


def test_the_order_of_a_list_does_not_matter_and_everything_in_it_does() -> None:
    one, other = ListedFile("a", 1, version="1"), ListedFile("b", 2, version="2")
    digest = listed_digest([one, other])
    assert digest == listed_digest([other, one])
    changed = [ListedFile("c", 1, version="1"), ListedFile("a", 3, version="1"), ListedFile("a", 1, version="3")]
    assert len({digest, *(listed_digest([each, other]) for each in changed)}) == 4


def test_a_receipt_stays_as_long_as_its_blob(store: Store) -> None:
    artifact = make_artifact({"model.gguf": b"kept"})
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.write_blob(b"nobody's")
        store.tag(Reference.parse("localhost/m:1"), artifact.digest)
    for key, content in (("a" * 64, b"kept"), ("b" * 64, b"nobody's")):
        (store.ingest / f"{key}.receipt").write_text(digest_of(content))
    (store.ingest / f"{'c' * 64}.receipt").write_bytes(b"\xff torn")
    sweep(store)
    assert [path.name for path in store.ingest.iterdir()] == [f"{'a' * 64}.receipt"]
