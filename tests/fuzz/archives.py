"""Archives as layers of an artifact: walked as a stream, and unpacked into a store and shown as a folder."""

import io
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from hostile.case import of_image, of_tar
from oci_artifacts import MadeArtifact
from tar_builders import BLOCK, FOLDER, entry, gzipped, long_name, pax, tar, tar_of, zstandard_of
from tests.fuzz.run import Sample

from berth_api.errors import UnsupportedModel
from berth_store.archive.kinds import Codec, Scope
from berth_store.archive.streams import most_bytes, open_stream
from berth_store.archive.tar import TarError
from berth_store.archive.walk import Census, walk
from berth_store.local import Store
from berth_store.names import name_fault

SUFFIXES = {Codec.NONE: "", Codec.GZIP: "+gzip", Codec.ZSTD: "+zstd"}
FILES = {"config.json": b'{"a": 1}', "deep/er/model.safetensors": b"w" * 1500, "tokenizer.json": b"{}"}
IMAGE = {"models/config.json": b"{}", "models/.wh.old": b"", "models/sub/.wh..wh..opq": b"", "etc/passwd": b"x"}


def archive_samples(folder: Path) -> list[Sample]:
    """Plain archives in the ways that tools write them, packed ones, and a layer of an image."""
    plain = {
        "files.tar": tar_of(FILES),
        "long-names.tar": tar(
            long_name(f"{'n' * 60}/{'n' * 60}/model.gguf"),
            entry("n", b"weights"),
            pax({"path": f"{'p' * 60}/{'p' * 60}/config.json", "size": "3"}),
            entry("p", b"abc"),
            entry("folder/", kind=FOLDER),
            entry("tokenizer.json", b"1", prefix="a" * 120),
        ),
    }
    packed = {Codec.GZIP: gzipped(plain["files.tar"]), Codec.ZSTD: zstandard_of(plain["files.tar"])}
    samples = [_sample(name, content, Codec.NONE, Scope.ALL, folder) for name, content in plain.items()]
    samples += [
        _sample(f"files.tar{SUFFIXES[codec]}", each, codec, Scope.ALL, folder) for codec, each in packed.items()
    ]
    return [*samples, _sample("image.tar", tar_of(IMAGE), Codec.NONE, Scope.MODELS, folder)]


def _sample(name: str, content: bytes, codec: Codec, scope: Scope, folder: Path) -> Sample:
    read = partial(_read, codec, scope, folder / name)
    return Sample(name, content, read, mend=_seal if codec is Codec.NONE else bytes)


def _read(codec: Codec, scope: Scope, root: Path, content: bytes) -> Iterator[bool]:
    walked = _walks(codec, scope, content)
    yield walked
    if walked:
        make = of_image if scope is Scope.MODELS else of_tar
        yield _shows(make(content, suffix=SUFFIXES[codec]), root)


def _walks(codec: Codec, scope: Scope, content: bytes) -> bool:
    stream = open_stream(io.BytesIO(content).read, codec, len(content))
    total = 0
    try:
        for member in walk(stream, Census(scope, len(content))):
            assert name_fault(member.name) is None, f"the name {member.name!r} was let through"
            left = member.size
            while left:
                piece = stream.read(left)
                if not piece:
                    raise TarError("it is cut off")
                left -= len(piece)
            total += member.size
    except TarError:
        return False
    assert total <= most_bytes(len(content)), "more came out than an archive of this size may hold"
    return True


def _shows(artifact: MadeArtifact, root: Path) -> bool:
    store = Store(root / "store")
    try:
        with store.using():
            for blob in (*artifact.blobs.values(), artifact.manifest):
                store.write_blob(blob)
        view = store.view(artifact.digest)
        for path in view.rglob("*"):
            assert path.is_file() or path.is_dir(), f"{path} is neither file nor folder"
            assert path.resolve().is_relative_to(store.root.resolve()), f"{path} leads out of the store"
    except UnsupportedModel:
        return False
    finally:
        assert [path.name for path in root.iterdir()] == ["store"], "something lies beside the store"
        shutil.rmtree(store.root)
    return True


def _seal(content: bytes) -> bytes:
    """With the checksums that each block would have, were it a header: those in the way of a walk are."""
    blocks = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]
    return b"".join(_sealed(block) if len(block) == BLOCK and b"ustar" in block[257:265] else block for block in blocks)


def _sealed(block: bytes) -> bytes:
    total = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]
