"""Archives with what is no file, and damaged ones."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tar_builders as t
from gguf_builders import llama_gguf

from berth_api.artifact import Format
from hostile.case import Hostile, of_image, of_tar

# An entry, given the folder that it is to be in.
Entry = Callable[[str], bytes]
WEIGHTS = llama_gguf()
GOOD = t.entry("m.gguf", WEIGHTS)


def build(canary: Path) -> Iterator[Hostile]:
    """Entries that are refused, in a model's archive and among the model of an image; then damage."""
    for what, (entries, says) in _entries(canary).items():
        yield Hostile(what, of_tar(t.tar(GOOD, *(entry("") for entry in entries))), says)
        packed = t.zstandard_of(t.tar(GOOD, *(entry("") for entry in entries)))
        yield Hostile(f"{what}, compressed", of_tar(packed, "+zstd"), says)
        yield Hostile(f"{what} in an image", of_image(t.tar(*(entry("models/") for entry in entries))), says)
    for what, (content, says) in _damage().items():
        yield Hostile(what, of_tar(content), says)
    for suffix, content in (
        ("+gzip", t.zstandard_of(GOOD)),
        ("+zstd", t.gzipped(GOOD)),
        ("+gzip", b""),
        ("+zstd", b""),
    ):
        yield Hostile(f"no {suffix[1:]} stream ({len(content)} bytes)", of_tar(content, suffix), "layer 0")
    for cut in (20, 200, -30):
        yield Hostile(f"gzip cut at {cut}", of_tar(t.gzipped(t.tar(GOOD))[:cut], "+gzip"), "layer 0")
        yield Hostile(f"zstd cut at {cut}", of_tar(t.zstandard_of(t.tar(GOOD))[:cut], "+zstd"), "layer 0")
    flipped = bytearray(t.gzipped(t.tar(GOOD)))
    flipped[len(flipped) // 2] ^= 0xFF
    yield Hostile("gzip with a flipped bit", of_tar(bytes(flipped), "+gzip"), "layer 0")
    yield Hostile("an archive of nothing", of_tar(t.tar()), "holds no model")
    yield Hostile("an image of nothing", of_image(t.tar()), "no files")
    yield Hostile("an image of links", of_image(t.tar(t.entry("sh", kind=t.SYMLINK, target="x"))), "'sh'")
    yield Hostile("garbage after the end", of_tar(t.tar(GOOD) + b"\xff" * 5000), serves=Format.GGUF)
    yield Hostile("a contiguous file", of_tar(t.tar(t.entry("m.gguf", WEIGHTS, kind=b"7"))), serves=Format.GGUF)
    system = t.tar(
        t.entry("../../canary", b"x"), t.entry("dev/sda", kind=t.DEVICE), t.entry("a", kind=t.SYMLINK, target="/")
    )
    model = t.tar(t.entry("models/m.gguf", WEIGHTS))
    yield Hostile("hostile things in an image's system", of_image(system, model), serves=Format.GGUF)
    yield Hostile("a whiteout upwards", of_image(t.tar(t.entry("models/.wh..."), GOOD)), "refused")
    yield Hostile("a whiteout of nothing", of_image(t.tar(t.entry("models/.wh."))), "names nothing")
    yield Hostile("a whiteout in a model", of_tar(t.tar(GOOD, t.entry(".wh.m.gguf"))), "takes away 'm.gguf'")


def _one(name: str, content: bytes = b"", **more: Any) -> Entry:
    return lambda folder: t.entry(f"{folder}{name}", content, **more)


def _entries(canary: Path) -> dict[str, tuple[list[Entry], str]]:
    link = {"kind": t.SYMLINK}
    hard = {"kind": t.HARD_LINK}
    return {
        "a link to the canary": ([_one("l", target=str(canary), **link)], "symbolic link"),
        "a link upwards": ([_one("l", target="../../../canary", **link)], "symbolic link"),
        "a link to itself": ([_one("l", target="l", **link)], "symbolic link"),
        "a link inside": ([_one("l", target="m.gguf", **link)], "symbolic link"),
        "a chain of links": (
            [_one("a", target="b", **link), _one("b", target="c", **link), _one("c", target=str(canary), **link)],
            "symbolic link",
        ),
        "a file below a link": (
            [_one("d", target=str(canary.parent), **link), _one("d/canary", b"x")],
            "symbolic link",
        ),
        "a link in place of a folder": ([_one("d/", kind=t.FOLDER), _one("d", target="/", **link)], "symbolic link"),
        "a link with a size": ([_one("l", size=5, target="x", **link)], "symbolic link"),
        "a hard link outside": ([_one("h", target=str(canary), **hard)], "hard link"),
        "a hard link to a password file": ([_one("h", target="/etc/passwd", **hard)], "hard link"),
        "a hard link inside": ([_one("h", target="m.gguf", **hard)], "hard link"),
        "a hard link with content": ([_one("h", b"x", target="m.gguf", **hard)], "hard link"),
        "a character device": ([_one("null", kind=t.CHARACTER)], "character device"),
        "a block device": ([_one("sda", kind=t.DEVICE)], "block device"),
        "a FIFO": ([_one("pipe", kind=t.FIFO)], "FIFO"),
        "an old sparse file": ([_one("s", kind=b"S")], "sparse"),
        "a sparse file of pax": ([lambda _: t.pax({"GNU.sparse.size": "99999999999"}), _one("s", b"x")], "sparse"),
        "a volume label": ([_one("v", kind=b"V")], "unknown type"),
        "a continued file": ([_one("v", kind=b"M")], "unknown type"),
        "a folder of names": ([_one("v", kind=b"D")], "unknown type"),
        "an entry of Solaris": ([_one("v", kind=b"X")], "unknown type"),
    }


def _damage() -> dict[str, tuple[bytes, str]]:
    whole = t.tar(GOOD)
    large = t.entry("b", b"x" * 3000)
    cuts = {f"cut at {cut}": (whole[:cut], "layer 0") for cut in (1, 511, 512, 700, 513 + len(WEIGHTS))}
    numbers = {
        "a size below nothing": b"\xff" * 12,
        "a size of 2^88": b"\x80" + b"\xff" * 11,
        "a size of letters": b"zzzzzzzzzzz\0",
        "a size with a sign": b"-0000000001\0",
        "a size of eights": b"88888888888\0",
    }
    pax = {
        "no length": b"path=x\n",
        "a length of nothing": b"0 path=x\n",
        "a length below nothing": b"-5 path=x\n",
        "a length beyond the header": b"999999 path=x\n",
        "a length of ten digits": b"9999999999 path=x\n",
        "no line feed": b"9 path=xy",
        "no equals": b"8 pathx\n",
        "a size that is none": t.pax_record("size", "0x10"),
        "a size below nothing": t.pax_record("size", "-1"),
        "a size without end": t.pax_record("size", "9" * 400),
        "a size beyond the archive": t.pax_record("size", "999999999"),
    }
    return {
        **cuts,
        **{what: (t.tar(t.entry("a", size=field), GOOD), "layer 0") for what, field in numbers.items()},
        **{f"pax with {what}": (t.tar(t.entry("p", raw, kind=b"x"), GOOD), "layer 0") for what, raw in pax.items()},
        "without its end": (t.tar(GOOD, end=b""), "mark of its end"),
        "a wrong checksum": (t.tar(t.entry("a", b"x", checksum=7), GOOD), "damaged"),
        "no tar at all": (b"this is no tar archive " * 100, "no tar archive"),
        "a size that swallows the next entry": (t.tar(t.entry("a", b"x", size=2000), GOOD), "layer 0"),
        "a size beyond the archive": (t.tar(t.entry("a", b"x", size=10**9), GOOD), "layer 0"),
        "a name of a megabyte": (t.tar(t.entry("n", b"x" * (1 << 20), kind=b"L"), GOOD), "1,048,576"),
        "attributes of a megabyte": (t.tar(t.entry("n", b"x" * (1 << 20), kind=b"x"), GOOD), "1,048,576"),
        "a name without an entry": (t.tar(t.long_name("x" * 300)), "middle of an entry"),
        "the same size for all": (t.tar(t.pax({"size": "1"}, kind=b"g"), GOOD), "all entries"),
        "an entry inside an entry": (t.tar(t.long_name("a"), t.long_name("../b"), t.entry("c", b"x"), large), "'../b'"),
    }
