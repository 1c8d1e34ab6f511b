"""Little that becomes much: bytes, entries, members, frames, values."""

import gzip
import io
import struct
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import tar_builders as t
from gguf_builders import llama_gguf

from berth_api.artifact import Format
from hostile.case import Hostile, of_files, of_image, of_tar

MIB = 1 << 20
ZEROS = bytes(MIB)
WEIGHTS = llama_gguf()
NO_SHRINK = "no model shrinks"


def build(canary: Path) -> Iterator[Hostile]:
    """Bombs of each kind. Those whose memory matters are measured one by one, in a process of their own."""
    head = t.entry("zeros.gguf", size=1 << 30)
    for what, pack, suffix in (("gzip", t.gzip_stream, "+gzip"), ("zstd", t.zstandard_stream, "+zstd")):
        yield Hostile(f"{what} of 1000 to 1, declared", of_tar(pack([head, *[ZEROS] * 32]), suffix), NO_SHRINK)
        small = [t.entry(f"{number}.bin", size=4 * MIB) + bytes(4 * MIB) for number in range(10)]
        yield Hostile(f"{what} of 1000 to 1 in small files", of_tar(pack([*small, t.END]), suffix), NO_SHRINK)
        yield Hostile(f"{what} of zeros without a tar", of_tar(pack([ZEROS] * 32), suffix), "layer 0")
        hidden = pack([t.entry("x", size=32 * MIB), *[ZEROS] * 32, t.entry("models/m.gguf", WEIGHTS), t.END])
        yield Hostile(f"{what} beside the model of an image", of_image(hidden, suffix=suffix), NO_SHRINK)
    yield Hostile("gzip of 250,000 folders", of_tar(_many_folders("gzip"), "+gzip"), "layer 0")
    yield Hostile("zstd of 250,000 folders", of_tar(_many_folders("zstd"), "+zstd"), "layer 0")
    yield Hostile("200,000 members of gzip", of_tar(gzip.compress(b"", mtime=0) * 200_000, "+gzip"), "layer 0")
    yield Hostile("a large window", of_tar(t.zstandard_of(bytes(40 * MIB), window_log=27), "+zstd"), "--long")
    claims = struct.pack("<IBQ", 0xFD2FB528, 0xE0, 1 << 60) + b"\1\0\0"
    yield Hostile("a zstd frame that claims 2^60 bytes", of_tar(claims, "+zstd"), "layer 0")
    skippable = struct.pack("<II", 0x184D2A50, 0xFFFFFFF0)
    yield Hostile("a zstd frame to skip 4 GiB", of_tar(skippable, "+zstd"), "layer 0")
    files = b"".join(t.entry(f"{number:06}") for number in range(10_001))
    yield Hostile("more files than are looked at", of_tar(files + t.END), "more than 10,000 files")
    headers = t.entry("etc/x", kind=t.SYMLINK, target="y") * 2000
    packed = [t.entry(f"{number}/{'x' * 60}") + headers for number in range(101)]
    yield Hostile("more entries than any system has", of_image(b"".join(packed) + t.END), "more than 200,000 entries")
    names = b"".join(t.long_name(f"{number}") for number in range(5000))
    yield Hostile(
        "a name for a name for a name", of_tar(names + t.entry("m.gguf", WEIGHTS) + t.END), serves=Format.GGUF
    )
    whiteouts = b"".join(t.entry(f"models/.wh.{number}") for number in range(10_001))
    yield Hostile("ten thousand whiteouts", of_image(whiteouts + t.END), "takes away more than")
    yield Hostile("a zip of 1000 to 1", of_files({"model.zip": _zip(64)}), "zip archive")
    yield Hostile("a zip of zips", of_files({"model.zip": _zip_of(_zip(16))}), "zip archive")
    yield Hostile("a zip beside the weights", of_files({"m.gguf": WEIGHTS, "more.zip": _zip(64)}), serves=Format.GGUF)
    yield Hostile("gzip in gzip", of_tar(t.gzipped(t.gzipped(t.tar_of({"m.gguf": WEIGHTS}))), "+gzip"), "layer 0")
    yield Hostile("a tar in a tar", of_tar(t.tar_of({"m.tar": t.tar_of({"m.gguf": WEIGHTS})})), "holds no model")
    yield Hostile("a gzip that stays packed", of_files({"model.gguf.gz": t.gzipped(bytes(MIB))}), "compressed archive")


@cache
def _many_folders(codec: str) -> bytes:
    pieces = [*[t.entry("a/", kind=t.FOLDER) * 2000] * 125, t.END]
    return t.gzip_stream(pieces, level=1) if codec == "gzip" else t.zstandard_stream(pieces)


def _zip(count_mib: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
        for _ in range(count_mib):
            file.write(ZEROS)
    return out.getvalue()


def _zip_of(inner: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(16):
            archive.writestr(zipfile.ZipInfo(f"{number}.zip"), inner)
    return out.getvalue()
