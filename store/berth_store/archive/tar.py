"""Tar headers one block at a time, without IO: `TarHeaders`, for archives that are read and for ones that are fetched.

The caller reads 512 bytes, asks `header` what they are, and reads or passes over the content that follows, rounded up
to blocks. ustar, GNU and pax are understood (POSIX.1-2017 pax, "ustar Interchange Format", and tar(5) of GNU tar);
what is no plain file or folder comes out with `kind` saying what it is, and it is for the caller to refuse it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from berth_api.errors import UnsupportedModel

BLOCK_BYTES = 512
MAX_EXTENSION_BYTES = 64 * 1024
# Headers of an archive altogether: an image of a whole system has some ten thousands.
MAX_HEADERS = 200_000
FILE, FOLDER = "a file", "a folder"
_KINDS = {
    b"0": FILE,
    b"\0": FILE,
    b"7": FILE,
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": FOLDER,
    b"6": "a FIFO",
    b"S": "a sparse file",
}
_EXTENSIONS = frozenset({b"x", b"g", b"L", b"K"})


@dataclass(frozen=True)
class Member:
    """An entry of an archive. `name` is relative and without a trailing slash; `size` bytes of content follow."""

    name: str
    size: int
    kind: str

    @property
    def padded_bytes(self) -> int:
        """The content with what fills its last block."""
        return padded(self.size)


@dataclass(frozen=True)
class Extension:
    """Content of `size` bytes follows that belongs to the next header: to be read and given to `extend`."""

    size: int

    @property
    def padded_bytes(self) -> int:
        """The content with what fills its last block."""
        return padded(self.size)


class TarError(UnsupportedModel):
    """What is wrong with an archive: the end of a sentence that names it."""


class TarHeaders:
    """The headers of one archive, in order."""

    def __init__(self) -> None:
        self._count = 0
        self._kind = b""
        self._next: dict[str, str] = {}
        self._is_sparse = False

    def header(self, block: bytes) -> Member | Extension | None:
        """What these 512 bytes announce; None for the mark of the end."""
        if not any(block):
            if self._next:
                raise TarError("it ends in the middle of an entry")
            return None
        self._count += 1
        if self._count > MAX_HEADERS:
            raise TarError(f"it has more than {MAX_HEADERS:,} entries")
        if _sum_of(block) != _number(block[148:156], "the checksum of an entry"):
            raise TarError(f"its entry {self._count:,} is damaged, or it is no tar archive")
        self._kind = block[156:157]
        size = _number(block[124:136], "the size of an entry")
        if self._kind in _EXTENSIONS:
            if size > MAX_EXTENSION_BYTES:
                raise TarError(f"the name or the attributes of its entry {self._count:,} claim {size:,} bytes")
            return Extension(size)
        return self._member(block, size)

    def extend(self, content: bytes) -> None:
        """Take what the last `Extension` announced."""
        if self._kind == b"L":
            self._next["path"] = _text(content.split(b"\0", 1)[0])
        elif self._kind in {b"x", b"g"}:
            facts = _pax(content)
            self._is_sparse = self._is_sparse or any(key.startswith("GNU.sparse") for key in facts)
            named = facts.keys() & {"path", "size"}
            if self._kind == b"g" and named:
                raise TarError(f"it gives all entries the same {' and '.join(sorted(named))}")
            self._next.update({key: facts[key] for key in named})

    def _member(self, block: bytes, size: int) -> Member:
        stated, self._next = self._next, {}
        is_sparse, self._is_sparse = self._is_sparse, False
        raw = stated.get("path") or _name_in(block)
        kind = "a sparse file" if is_sparse else _KINDS.get(self._kind, f"of the unknown type {self._kind!r}")
        if "size" in stated:
            size = _decimal(stated["size"])
        name = raw.removeprefix("./")
        if kind is FOLDER or raw in {".", "./"}:
            name = name.rstrip("/")
        # Links and devices have no content, whatever a size field says; a folder's is no content either.
        return Member(name or ".", size if kind in {FILE, "a sparse file"} else 0, kind)


def padded(size: int) -> int:
    """`size` rounded up to blocks."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _name_in(block: bytes) -> str:
    name = _text(block[:100].split(b"\0", 1)[0])
    # GNU tar has other things at the place of ustar's prefix, and says so by its own magic.
    prefix = _text(block[345:500].split(b"\0", 1)[0]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TarError(f"it has the name {raw[:80]!r}, which is not UTF-8") from error


def _sum_of(block: bytes) -> int:
    """The checksum: of all bytes, with blanks in place of the checksum itself."""
    return sum(block[:148]) + 8 * 0x20 + sum(block[156:])


def _number(field: bytes, what: str) -> int:
    """An octal number, or a binary one where the first bit is set, as GNU tar writes sizes from 8 GiB on."""
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise TarError(f"{what} is negative")
        return int.from_bytes(field[1:], "big")
    text = field.split(b"\0", 1)[0].strip(b" ")
    if text and not all(0x30 <= digit <= 0x37 for digit in text):
        raise TarError(f"{what} is no number, or it is no tar archive")
    return int(text, 8) if text else 0


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise TarError(f"it gives an entry the size {text[:40]!r}")
    return int(text)


def _pax(content: bytes) -> Mapping[str, str]:
    """The records of a pax header: each `LENGTH KEY=VALUE` and a line feed, the length that of the whole record."""
    facts: dict[str, str] = {}
    while content:
        length, blank, _ = content[:20].partition(b" ")
        count = int(length) if blank and length.isdigit() else 0
        record = content[len(length) + 1 : count]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if count > len(content) or not record.endswith(b"\n") or not equals:
            raise TarError("the attributes of an entry are damaged")
        if key in {b"path", b"size"} or key.startswith(b"GNU.sparse"):
            facts[_text(key)] = _text(value)
        content = content[count:]
    return facts
