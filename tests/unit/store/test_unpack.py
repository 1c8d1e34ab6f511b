"""Archives as layers: what is in them is served by name, and one bad entry refuses the whole."""

import io
import os
import random
import tarfile
import threading
from pathlib import Path

import pytest
import tar_builders as t
from folder_builders import files_in
from gguf_builders import llama_gguf
from hypothesis import given
from hypothesis import strategies as st
from oci_artifacts import Layer, MadeArtifact, make_layers, random_bytes

from berth_store import mediatypes, unpack
from berth_store.archive.kinds import Codec, Scope
from berth_store.archive.streams import open_stream
from berth_store.archive.tar import TarError
from berth_store.archive.walk import Census, walk
from berth_store.detect import detect
from berth_store.digest import digest_of, hex_of
from berth_store.errors import DiskFull, NoModelInSource
from berth_store.integrity import discard, find_damage
from berth_store.local import Store
from berth_store.reference import Reference
from berth_store.sweep import sweep

NAME, OTHER = Reference.parse("localhost/x"), Reference.parse("localhost/other")
FILES = {"model.gguf": llama_gguf(), "sub/notes.txt": b"hello", "empty": b""}
MODELPACK = "application/vnd.cncf.model.weight.v1.tar"
IMAGE = "application/vnd.oci.image.config.v1+json"
IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar"


def put(store: Store, artifact: MadeArtifact, name: Reference = NAME) -> Path:
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(name, artifact.digest)
    return store.view(artifact.digest)


def packed(content: bytes, media_type: str = MODELPACK) -> MadeArtifact:
    return make_layers([Layer(content, media_type)], artifact_type=mediatypes.MODELPACK_MANIFEST)


def image(*layers: bytes, suffix: str = "") -> MadeArtifact:
    return make_layers([Layer(layer, IMAGE_LAYER + suffix) for layer in layers], config_type=IMAGE)


@pytest.mark.parametrize(
    ("media_type", "pack"),
    [
        (MODELPACK, bytes),
        (f"{MODELPACK}+gzip", t.gzipped),
        (f"{MODELPACK}+zstd", t.zstandard_of),
        ("application/vnd.cncf.model.weight.config.v1.tar+gzip", t.gzipped),
        ("application/vnd.docker.ai.dir.tar", bytes),
        ("application/vnd.docker.ai.vllm.config.tar", bytes),
        ("application/vnd.kitops.modelkit.model.v1.tar+gzip", t.gzipped),
    ],
)
def test_an_archive_is_served_as_the_files_that_it_holds(store: Store, media_type: str, pack: object) -> None:
    folder = put(store, packed(pack(t.tar_of(FILES)), media_type))  # type: ignore[operator]
    assert files_in(folder) == FILES
    assert detect(folder).weights == (folder / "model.gguf",)
    assert list(store.ingest.iterdir()) == []


def test_files_from_archives_are_shared_with_others_of_the_same_content(store: Store) -> None:
    put(store, packed(t.tar_of(FILES)))
    blob = store.blob_path(digest_of(FILES["model.gguf"]))
    before = blob.stat().st_ino
    put(store, make_layers([Layer(FILES["model.gguf"], mediatypes.GGUF)], config_type=mediatypes.CONFIG_V01), OTHER)
    put(store, packed(t.gzipped(t.tar_of(FILES)), f"{MODELPACK}+gzip"))
    assert blob.stat().st_ino == before
    assert blob.stat().st_mode & 0o777 == 0o444


def test_archives_and_files_stand_side_by_side(store: Store) -> None:
    layers = [
        Layer(t.tar_of({"config.json": b"{}"}), "application/vnd.docker.ai.vllm.config.tar"),
        Layer(b"weights", mediatypes.SAFETENSORS, {mediatypes.ANNOTATION_FILEPATH: "model.safetensors"}),
    ]
    folder = put(store, make_layers(layers, config_type=mediatypes.CONFIG_V01))
    assert files_in(folder) == {"config.json": b"{}", "model.safetensors": b"weights"}


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_other_tools_write_is_read(store: Store, format_: int) -> None:
    files = {
        "./a.txt": b"a",
        f"{'deep/' * 10}{'n' * 90}.txt": b"long",
        "ünïcode.txt": b"u",
        f"{'d' * 90}/{'f' * 90}": b"x",
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as archive:
        archive.addfile(folder_of("."))
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1700000000
            archive.addfile(member, io.BytesIO(content))
    folder = put(store, packed(out.getvalue()))
    assert files_in(folder) == {name.removeprefix("./"): content for name, content in files.items()}


def folder_of(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    return member


@given(
    st.dictionaries(st.text("abc/_é", min_size=1, max_size=120), st.binary(max_size=2000), max_size=6),
    st.integers(0, 2),
)
def test_the_walker_and_the_standard_library_agree(files: dict[str, bytes], format_: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            try:
                archive.addfile(member, io.BytesIO(content))
            except ValueError:  # ustar has no room for this name
                return
    content = out.getvalue()
    stream = open_stream(io.BytesIO(content).read, Codec.NONE, len(content))
    found, refused = {}, ""
    try:
        for member in walk(stream, Census(Scope.ALL, len(content))):
            found[member.name] = stream.exactly(member.size)
    except TarError as error:
        refused = str(error)
    assert found == files or "the name" in refused


REFUSED = {
    "above": (t.tar(t.entry("../x", b"x")), "has an empty, '.' or '..' part"),
    "absolute": (t.tar(t.entry("/etc/passwd", b"x")), "is absolute"),
    "symbolic link": (t.tar(t.entry("m.gguf", kind=t.SYMLINK, target="/etc/passwd")), "'m.gguf' is a symbolic link"),
    "hard link": (t.tar(t.entry("a", b"x"), t.entry("b", kind=t.HARD_LINK, target="a")), "'b' is a hard link"),
    "device": (t.tar(t.entry("null", kind=t.CHARACTER)), "is a character device"),
    "disk": (t.tar(t.entry("sda", kind=t.DEVICE)), "is a block device"),
    "fifo": (t.tar(t.entry("pipe", kind=t.FIFO)), "is a FIFO"),
    "sparse": (t.tar(t.entry("s", kind=b"S")), "is a sparse file"),
    "sparse by pax": (t.tar(t.pax({"GNU.sparse.major": "1"}), t.entry("s", b"x")), "is a sparse file"),
    "unknown type": (t.tar(t.entry("v", kind=b"V")), "of the unknown type"),
    "twice": (t.tar(t.entry("a", b"x"), t.entry("a", b"y")), "stands in it twice"),
    "other letters": (t.tar(t.entry("Model", b"x"), t.entry("model", b"y")), "stands in it twice"),
    "name by pax": (t.tar(t.pax({"path": "../../x"}), t.entry("fine", b"x")), "part"),
    "name by gnu": (t.tar(t.long_name("/abs"), t.entry("fine", b"x")), "is absolute"),
    "for all": (t.tar(t.pax({"path": "a"}, kind=b"g"), t.entry("fine", b"x")), "gives all entries the same path"),
    "no text": (t.tar(t.entry(b"\xff\xfe", b"x")), "which is not UTF-8"),
    "negative size": (t.tar(t.entry("a", size=b"\xff" * 12)), "is negative"),
    "wild size": (t.tar(t.entry("a", size=b"9x999999999\0")), "is no number"),
    "cut in content": (t.tar(t.entry("a", b"x" * 600))[:900], "cut off in the file 'a'"),
    "cut in header": (t.tar(t.entry("a", b"x"))[:700], "it is cut off"),
    "without its end": (t.tar(t.entry("a", b"x"), end=b""), "without the mark of its end"),
    "checksum": (t.tar(t.entry("a", b"x", checksum=1)), "damaged, or it is no tar"),
    "no tar": (random_bytes(2048), "no tar archive"),
    "claims much": (t.tar(t.entry("a", size=1 << 32)), "no model shrinks 100 to 1"),
    "long name": (t.tar(t.entry("n", size=1 << 20, kind=b"L")), "claim 1,048,576 bytes"),
    "pax lies": (t.tar(t.entry("p", b"99999 path=x\n", kind=b"x"), t.entry("a", b"x")), "attributes of an entry"),
    "whiteout": (t.tar(t.entry("a/.wh.b")), "takes away 'a/b'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_one_bad_entry_refuses_the_whole_archive_and_leaves_nothing(store: Store, case: str) -> None:
    content, why = REFUSED[case]
    artifact = packed(content)
    before = {digest_of(blob) for blob in (*artifact.blobs.values(), artifact.manifest)}
    with pytest.raises(NoModelInSource, match=r"layer 0 .* is refused") as refused:
        put(store, artifact)
    assert why in str(refused.value)
    assert {f"sha256:{path.name}" for path in store.blobs.iterdir()} == before
    assert list(store.ingest.iterdir()) == []
    assert list(store.views.iterdir()) == []


@pytest.mark.parametrize(("suffix", "pack"), [("+gzip", t.gzip_stream), ("+zstd", t.zstandard_stream)])
def test_a_bomb_is_refused_before_it_has_unpacked(store: Store, suffix: str, pack: object) -> None:
    size = 1 << 30
    head = t.entry("zeros.gguf", size=size)
    content = pack([head, *([bytes(1 << 20)] * 64)])  # type: ignore[operator]
    with pytest.raises(NoModelInSource, match="no model shrinks 100 to 1"):
        put(store, packed(content, f"{MODELPACK}{suffix}"))


def test_a_frame_that_wants_a_large_window_is_refused(store: Store) -> None:
    content = t.zstandard_of(t.tar_of({"a": random_bytes(64 << 20)}), window_log=27)
    with pytest.raises(NoModelInSource, match="compress it without --long"):
        put(store, packed(content, f"{MODELPACK}+zstd"))


def test_archives_in_several_gzip_members_and_zstd_frames_are_one(store: Store) -> None:
    content = t.tar_of(FILES)
    halves = content[:1500], content[1500:]
    for suffix, pack in (("+gzip", t.gzipped), ("+zstd", t.zstandard_of)):
        assert files_in(put(store, packed(b"".join(map(pack, halves)), f"{MODELPACK}{suffix}"))) == FILES


def test_a_stream_that_is_of_another_kind_than_it_says_is_refused(store: Store) -> None:
    for suffix, content in (
        ("+gzip", t.zstandard_of(b"x")),
        ("+zstd", t.gzipped(b"x")),
        ("+gzip", t.gzipped(t.tar_of(FILES))[:-90]),
    ):
        with pytest.raises(NoModelInSource, match=r"is no (gzip|zstd) stream|cut off"):
            put(store, packed(content, f"{MODELPACK}{suffix}"))


def test_more_files_than_anybody_looks_at_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_store.archive.walk.MAX_FILES", 3)
    with pytest.raises(NoModelInSource, match="more than 3 files"):
        put(store, packed(t.tar_of({str(number): b"" for number in range(4)})))


def test_a_disk_without_room_is_told_before_a_byte_is_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs

    def full(path: str) -> os.statvfs_result:
        values = list(real(path))
        values[4] = 0
        return os.statvfs_result(values)

    monkeypatch.setattr(os, "statvfs", full)
    with pytest.raises(DiskFull, match=r"'model\.gguf' unpacks to"):
        put(store, packed(t.tar_of(FILES)))


def test_a_sweep_keeps_what_archives_hold_and_frees_it_with_them(store: Store) -> None:
    folder = put(store, packed(t.tar_of(FILES)))
    remains = store.ingest / "tmp-1-2"
    remains.mkdir()
    (remains / "0").write_bytes(b"left by a kill")
    sweep(store)
    assert files_in(folder) == FILES
    assert not remains.exists()
    store.remove(NAME)
    assert [*store.blobs.iterdir(), *store.unpacked.iterdir(), *store.views.iterdir()] == []


def test_what_is_lost_or_damaged_is_unpacked_again(store: Store) -> None:
    artifact = packed(t.tar_of(FILES))
    put(store, artifact)
    path = store.blob_path(digest_of(FILES["model.gguf"]))
    path.chmod(0o644)
    path.write_bytes(bytes(len(FILES["model.gguf"])))
    (damage,) = find_damage(store)
    discard(store, [damage])
    assert files_in(store.view(artifact.digest)) == FILES
    (store.unpacked / f"{hex_of(digest_of(t.tar_of(FILES)))}.all.json").unlink()
    assert files_in(store.view(artifact.digest)) == FILES
    assert find_damage(store) == ()


def test_many_threads_unpack_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = packed(t.tar_of(FILES))
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(NAME, artifact.digest)
    times = []
    honest = unpack._unpack_layer
    monkeypatch.setattr(unpack, "_unpack_layer", lambda *given: times.append(1) or honest(*given))
    threads = [threading.Thread(target=store.view, args=(artifact.digest,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert times == [1]
    assert files_in(store.view(artifact.digest)) == FILES


@pytest.mark.parametrize("root", ["models/", "model/", "mnt/models/"])
@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), ("+gzip", t.gzipped), ("+zstd", t.zstandard_of)])
def test_of_an_image_the_folder_with_the_model_is_served(store: Store, root: str, suffix: str, pack: object) -> None:
    system = t.tar(
        t.entry("etc/", kind=t.FOLDER),
        t.entry("etc/passwd", b"root"),
        t.entry("bin/sh", kind=t.SYMLINK, target="/bin/busybox"),
        t.entry("dev/null", kind=t.CHARACTER),
    )
    model = t.tar_of({f"{root}{name}": content for name, content in FILES.items()})
    folder = put(store, image(pack(system), pack(model), suffix=suffix))  # type: ignore[operator]
    assert files_in(folder) == FILES
    assert not store.blob_path(digest_of(b"root")).exists(), "the system's files are not unpacked"


def test_an_image_of_a_model_alone_may_have_it_at_the_root(store: Store) -> None:
    assert files_in(put(store, image(t.tar_of(FILES)))) == FILES


def test_an_image_without_a_model_names_what_it_is_refused_for(store: Store) -> None:
    with pytest.raises(NoModelInSource, match="'bin/sh' is a symbolic link"):
        put(store, image(t.tar(t.entry("bin/sh", kind=t.SYMLINK, target="/bin/busybox"))))
    with pytest.raises(NoModelInSource, match="put the model under /models"):
        put(store, image(t.tar()))


def test_a_link_among_the_model_of_an_image_is_refused(store: Store) -> None:
    with pytest.raises(NoModelInSource, match=r"'models/model\.file' is a symbolic link"):
        put(store, image(t.tar(t.entry("models/model.file", kind=t.SYMLINK, target="/etc/passwd"))))


def test_later_layers_of_an_image_replace_take_away_and_empty(store: Store) -> None:
    first = t.tar_of(
        {"models/a": b"old", "models/b": b"b", "models/sub/c": b"c", "models/sub/d": b"d", "models/z": b"z"}
    )
    second = t.tar(
        t.entry("models/a", b"new"),
        t.entry("models/.wh.b"),
        t.entry("models/sub/.wh..wh..opq"),
        t.entry("models/sub/e", b"e"),
    )
    assert files_in(put(store, image(first, second))) == {"a": b"new", "sub/e": b"e", "z": b"z"}
    third = t.tar(t.entry(".wh.models"), t.entry("model/x", b"x"))
    assert files_in(put(store, image(first, second, third))) == {"x": b"x"}


def test_what_plain_oras_pushes_is_read(store: Store) -> None:
    """As oras-py types them: a file is `layer.v1.tar` and no tar, a folder a gzipped one with its own name inside."""
    title = mediatypes.ANNOTATION_TITLE
    layers = [
        Layer(FILES["model.gguf"], IMAGE_LAYER, {title: "model.gguf"}),
        Layer(t.gzipped(t.tar_of({"sub/notes.txt": b"hello"})), f"{IMAGE_LAYER}+gzip", {title: "sub"}),
        Layer(t.tar_of({"more/x": b"x"}), IMAGE_LAYER, {title: "more", mediatypes.ANNOTATION_UNPACK: "true"}),
    ]
    for artifact in (
        make_layers(layers, config_type="application/vnd.unknown.config.v1+json"),
        make_layers(
            layers, config_type="application/vnd.oci.empty.v1+json", artifact_type="application/vnd.acme.model"
        ),
    ):
        folder = put(store, artifact)
        assert files_in(folder) == {"model.gguf": FILES["model.gguf"], "sub/notes.txt": b"hello", "more/x": b"x"}


def test_damaged_archives_are_unpacked_or_refused_and_nothing_else(tmp_path: Path) -> None:
    good = t.tar_of(FILES)
    chance, refused, walked = random.Random(7), 0, 0
    for _ in range(300):
        content = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        stream = open_stream(io.BytesIO(bytes(content)).read, Codec.NONE, len(content))
        try:
            for member in walk(stream, Census(Scope.ALL, len(content))):
                stream.skip(member.size)
            walked += 1
        except TarError:
            refused += 1
    assert walked > 50
    assert refused > 10
