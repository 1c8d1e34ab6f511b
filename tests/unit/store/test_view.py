import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oci_artifacts import MadeArtifact, make_artifact

from berth_store import mediatypes
from berth_store.digest import Digest, digest_of, hex_of
from berth_store.errors import NoModelInSource, SourceNotFound
from berth_store.local import Store
from berth_store.manifest import Descriptor, Manifest, parse_manifest
from berth_store.names import MAX_DEPTH
from berth_store.reference import Reference
from berth_store.view import layer_names, plan_view

FILES = {"model.gguf": b"weights", "sub/deep/config.json": b"{}", "LICENSE": b"free", "a b+c@d.txt": b"odd, and fine"}
ZEROS = Digest("sha256:" + "0" * 64)


def put(store: Store, artifact: MadeArtifact) -> Digest:
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(Reference.parse("localhost/x"), artifact.digest)
    return artifact.digest


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest_of(*names: str | None, media_type: str = mediatypes.MODEL_FILE) -> Manifest:
    """A manifest with a layer for each name."""
    layers = tuple(
        Descriptor(
            media_type=media_type,
            digest=digest_of(str(number).encode()),
            size=1,
            annotations=None if name is None else {mediatypes.ANNOTATION_FILEPATH: name},
        )
        for number, name in enumerate(names)
    )
    return Manifest(config=Descriptor(media_type=mediatypes.CONFIG_V02, digest=ZEROS, size=2), layers=layers)


def test_a_view_has_the_files_under_their_own_names(store: Store) -> None:
    folder = store.view(put(store, make_artifact(FILES)))
    assert files_in(folder) == FILES
    assert folder.parent == store.views


def test_a_view_moves_with_its_store(store: Store, tmp_path: Path) -> None:
    digest = put(store, make_artifact(FILES))
    store.view(digest)
    store.root.rename(tmp_path / "elsewhere")
    assert files_in(tmp_path / "elsewhere" / "views" / hex_of(digest)) == FILES


def test_a_view_that_was_tampered_with_is_repaired(store: Store, tmp_path: Path) -> None:
    digest = put(store, make_artifact(FILES))
    folder = store.view(digest)
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "model.gguf").unlink()
    (folder / "model.gguf").symlink_to(tmp_path / "secret")
    shutil.rmtree(folder / "sub")
    (folder / "sub").symlink_to(tmp_path)
    (folder / "LICENSE").unlink()
    (folder / "LICENSE").mkdir()
    (folder / "added.py").write_bytes(b"import os")
    assert files_in(store.view(digest)) == FILES
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_a_file_or_a_link_in_the_place_of_a_view_is_replaced(store: Store, tmp_path: Path) -> None:
    digest = put(store, make_artifact(FILES))
    place = store.views / hex_of(digest)
    place.write_bytes(b"?")
    assert files_in(store.view(digest)) == FILES
    shutil.rmtree(place)
    place.symlink_to(tmp_path)
    assert files_in(store.view(digest)) == FILES


def test_a_whole_view_is_used_as_it_is_also_where_nobody_may_write(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(store, make_artifact(FILES))
    folder = store.view(digest)
    monkeypatch.setattr(os, "symlink", None)
    monkeypatch.setattr(Store, "using", None)
    assert store.view(digest) == folder


def test_a_view_of_missing_blobs_says_to_pull_again(store: Store) -> None:
    digest = put(store, make_artifact(FILES))
    store.blob_path(digest_of(b"weights")).unlink()
    with pytest.raises(SourceNotFound, match="pull it again"):
        store.view(digest)


def test_many_threads_get_the_same_view(store: Store) -> None:
    digest = put(store, make_artifact(FILES))
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(store.view(digest))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {store.views / hex_of(digest)}
    assert [path.name for path in store.views.iterdir()] == [hex_of(digest)]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "..",
        "../x",
        "a/../../x",
        "a/..",
        "./x",
        "a/./x",
        "a//x",
        "a/",
        "a\\..\\x",
        "C:\\x",
        "a\0b",
        "a\nb",
        "a\u202eb",
        "\ud800",
        "x" * 256,
        "/".join(["x"] * (MAX_DEPTH + 1)),
        "/".join(["x" * 200] * 6),
    ],
)
def test_a_hostile_name_is_refused(name: str) -> None:
    if name == "":
        assert layer_names(manifest_of("")) == ("file",), "an empty annotation says nothing"
        return
    with pytest.raises(NoModelInSource, match="is refused"):
        plan_view(manifest_of("fine.gguf", name), "x")


@pytest.mark.parametrize(
    "names",
    [
        ("a", "a"),
        ("Model.gguf", "model.gguf"),
        ("stra\u00dfe", "STRASSE"),
        ("e\u0301", "\u00e9"),
        ("a", "a/b"),
        ("A/b", "a"),
        ("a/b/c", "a/B"),
    ],
)
def test_names_that_collide_somewhere_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(NoModelInSource):
        plan_view(manifest_of(*names), "x")


@given(st.lists(st.text(alphabet="aA./\\\0é. \u0301~-", min_size=1, max_size=12), min_size=1, max_size=5))
def test_whatever_is_planned_stays_inside_its_folder(names: list[str]) -> None:
    try:
        links = plan_view(manifest_of(*names), "x")
    except NoModelInSource:
        return
    base = Path("/store/views/x")
    for link, name in zip(links, names, strict=True):
        place = Path(os.path.normpath(base / link.name))
        assert place == base / name
        assert base in place.parents
        target = Path(os.path.normpath(place.parent / link.target))
        assert target == Path("/store/blobs/sha256") / hex_of(link.digest)


def test_layers_without_a_name_get_the_one_that_docker_gives_them() -> None:
    assert layer_names(manifest_of(None, media_type=mediatypes.GGUF)) == ("model.gguf",)
    assert layer_names(manifest_of(None, None, media_type=mediatypes.GGUF)) == (
        "model-00001-of-00002.gguf",
        "model-00002-of-00002.gguf",
    )
    assert layer_names(manifest_of(None, media_type=mediatypes.CHAT_TEMPLATE)) == ("chat_template.jinja",)


def test_the_template_of_a_flat_artifact_lies_where_detection_looks_for_it() -> None:
    folder = manifest_of("my.jinja", media_type=mediatypes.CHAT_TEMPLATE)
    flat = folder.model_copy(update={"config": folder.config.model_copy(update={"media_type": mediatypes.CONFIG_V01})})
    assert layer_names(folder) == ("my.jinja",)
    assert layer_names(flat) == ("chat_template.jinja",)


def test_a_manifest_with_too_many_layers_is_refused() -> None:
    body = manifest_of(*(str(number) for number in range(10))).model_dump(by_alias=True)
    body["layers"] = body["layers"] * 500
    with pytest.raises(NoModelInSource, match="layers"):
        parse_manifest(json.dumps(body).encode(), origin="x")
