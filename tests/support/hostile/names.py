"""Names that lead elsewhere, look like others, or are the same somewhere."""

from collections.abc import Iterator
from pathlib import Path

import tar_builders as t
from gguf_builders import llama_gguf
from oci_artifacts import Layer, make_layers

from berth_api.artifact import Format
from hostile.case import CONFIG_V02, FILEPATH, MODEL_FILE, Hostile, of_files, of_image, of_tar

WEIGHTS = llama_gguf()
TITLE = "org.opencontainers.image.title"


def bad_names(canary: Path) -> dict[str, str]:
    """What is wrong, and the name."""
    return {
        "one up": "../canary",
        "many up": "../" * 12 + "canary",
        "up from the root": "../" * 40 + str(canary).lstrip("/"),
        "up in the middle": "a/../../canary",
        "up and back": "a/../canary",
        "up at the end": "a/..",
        "only up": "..",
        "only here": ".",
        "absolute": str(canary),
        "doubly absolute": f"/{canary}",
        "here in the middle": "a/./b",
        "an empty part": "a//b",
        "a slash at the end": "a/",
        "backslashes up": "..\\..\\canary",
        "a drive": "C:\\canary",
        "a share": "\\\\server\\share",
        "a line feed": "a\nb",
        "a bell": "a\x07b",
        "delete": "a\x7fb",
        "an escape sequence": "a\x1b[2Jb",
        "right to left": "model\u202efugg.txt",
        "left to right mark": "model\u200e.gguf",
        "no width": "mo\u200bdel.gguf",
        "a byte order mark": "\ufeffmodel.gguf",
        "a line separator": "a\u2028b",
        "a tag character": "a\U000e0041b",
        "a part that is too long": "x" * 256,
        "a part that is too long in bytes": "é" * 128,
        "too deep": "/".join("abcdefghijklmnopq"),
        "too long": "/".join(["x" * 200] * 6),
    }


COLLISIONS = {
    "the same": ("a", "a"),
    "another case": ("Config.json", "config.json"),
    "sharp s": ("straße", "STRASSE"),
    "composed and not": ("e\u0301", "é"),
    "a ligature": ("ﬀ", "ff"),
    "kelvin": ("\u212a", "k"),
    "a file as a folder": ("a", "a/b"),
    "a file as a folder in another case": ("A", "a/b"),
}
HARMLESS = (
    "CON",
    "nul.txt",
    "aux.json",
    "a.",
    "a ",
    " a",
    "a:b",
    "e\u0301",
    "名前.txt",
    "-rf",
    "$(touch x)",
    "`x`",
    "~",
    "%2e%2e",
)


def build(canary: Path) -> Iterator[Hostile]:
    """Each name by each way that names come."""
    for what, name in bad_names(canary).items():
        for where in (FILEPATH, TITLE):
            layers = [Layer(WEIGHTS, MODEL_FILE, {FILEPATH: "m.gguf"}), Layer(b"x", MODEL_FILE, {where: name})]
            yield Hostile(f"{what} in {where}", make_layers(layers, config_type=CONFIG_V02), f"{name[:20]!r}"[1:-1])
        says = f"{name[:20]!r}"[1:-1]
        by_pax = t.tar(t.pax({"path": name}), t.entry("fine", b"x"), t.entry("m.gguf", WEIGHTS))
        yield Hostile(f"{what} in a pax header", of_tar(by_pax), says)
        by_gnu = t.tar(t.long_name(name), t.entry("fine", b"x"), t.entry("m.gguf", WEIGHTS))
        yield Hostile(f"{what} in a GNU header", of_tar(t.gzipped(by_gnu), "+gzip"), says)
    yield Hostile("NUL in a manifest", of_files({"m.gguf": WEIGHTS, "a\0b": b"x"}), "a\\x00b")
    yield Hostile("NUL in a pax header", of_tar(t.tar(t.pax({"path": "a\0b"}), t.entry("fine", b"x"))), "a\\x00b")
    yield Hostile("half a character", of_files({"m.gguf": WEIGHTS, "\ud800": b"x"}), "no OCI manifest")
    yield Hostile("no UTF-8 in a tar", of_tar(t.tar(t.entry(b"a\xff\xfe", b"x"))), "not UTF-8")
    in_image = t.tar(t.entry("models/../../canary", b"x"), t.entry("models/m.gguf", WEIGHTS))
    yield Hostile("up in an image", of_image(in_image), "canary")
    for what, pair in COLLISIONS.items():
        twice = [
            Layer(WEIGHTS, MODEL_FILE, {FILEPATH: "m.gguf"}),
            *(Layer(b"x", MODEL_FILE, {FILEPATH: n}) for n in pair),
        ]
        yield Hostile(f"{what} in a manifest", make_layers(twice, config_type=CONFIG_V02), "refused")
        in_one = t.tar(*(t.entry(name, b"x") for name in pair), t.entry("m.gguf", WEIGHTS))
        yield Hostile(f"{what} in an archive", of_tar(in_one), "refused")
        apart = [Layer(t.tar(t.entry(name, b"x")), "application/vnd.cncf.model.weight.v1.tar") for name in pair]
        artifact = make_layers(apart, artifact_type="application/vnd.cncf.model.manifest.v1+json")
        yield Hostile(f"{what} in two archives", artifact, "refused")
    for name in HARMLESS:
        yield Hostile(f"harmless {name}", of_files({"m.gguf": WEIGHTS, name: b"x"}), serves=Format.GGUF)
        yield Hostile(
            f"harmless {name} in an archive", of_tar(t.tar_of({"m.gguf": WEIGHTS, name: b"x"})), serves=Format.GGUF
        )
