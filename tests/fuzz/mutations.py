"""Ways to damage a file: a pure function of the bytes and a random number generator, so that a seed repeats a run."""

import re
from collections.abc import Callable
from random import Random

NUMBERS = (0, 1, 2, 7, 8, 255, 10**6, 10**9, 2**31 - 1, 2**31, 2**32 - 1, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = (b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"null", b"1e999", b"../x", b"\0", b"\xff")
VALUES = (b"null", b"true", b"-1", b"0.5", b'"x"', b"[]", b"{}", b"[[1]]", b"1e999", b'{"a":[]}', b"9" * 30)
MAX_BYTES = 1 << 18


def mutate(random: Random, content: bytes) -> bytes:
    """The content with one to four damages."""
    damaged = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        random.choice(_WAYS)(random, damaged)
    return bytes(damaged[:MAX_BYTES])


def _flip(random: Random, content: bytearray) -> None:
    for _ in range(random.choice((1, 1, 8, 64))):
        if content:
            content[random.randrange(len(content))] ^= 1 << random.randrange(8)


def _cut(random: Random, content: bytearray) -> None:
    del content[random.randint(0, len(content)) :]


def _number(random: Random, content: bytearray) -> None:
    """A number that lies, where one may stand: at a random place, more often near the start."""
    width = random.choice((1, 2, 4, 8))
    at = random.randint(0, min(len(content), random.choice((64, 1 << 20))))
    value = random.choice((*NUMBERS, len(content), len(content) + 1, random.getrandbits(64)))
    content[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, random.choice(("little", "big")))


def _varint(random: Random, content: bytearray) -> None:
    at = random.randint(0, len(content))
    content[at : at + 1] = b"\xff" * random.randint(1, 11) + bytes([random.getrandbits(7)])


def _remove(random: Random, content: bytearray) -> None:
    at = random.randint(0, len(content))
    del content[at : at + random.choice((1, 4, 8, 100))]


def _repeat(random: Random, content: bytearray) -> None:
    at = random.randint(0, len(content))
    part = content[at : at + random.choice((1, 4, 8, 100))]
    content[at:at] = part * random.choice((1, 2, 100, 2000))


def _word(random: Random, content: bytearray) -> None:
    at = random.randint(0, len(content))
    word = random.choice(WORDS)
    content[at : at + random.choice((0, len(word)))] = word * random.choice((1, 1, 2, 1000))


def _move(random: Random, content: bytearray) -> None:
    start, at = random.randint(0, len(content)), random.randint(0, len(content))
    part = content[start : start + random.choice((8, 32, 100))]
    content[at : at + len(part)] = part


def _digits(random: Random, content: bytearray) -> None:
    """One written number becomes another that stands in the file, or one that lies."""
    written = list(_DIGITS.finditer(content[:4096]))
    if not written:
        return
    start, end = random.choice(written).span()
    others = [match.group() for match in written]
    as_long = b"%0*d" % (end - start, random.randrange(10 ** (end - start)))
    content[start:end] = random.choice((random.choice(others), as_long, b"%d" % random.choice(NUMBERS)))


def _value(random: Random, content: bytearray) -> None:
    """One JSON value becomes another, where it can of the same length, so that lengths around it stay true."""
    written = list(_VALUE.finditer(content[:4096]))
    if written:
        start, end = random.choice(written).span(1)
        content[start:end] = random.choice(VALUES).ljust(end - start)


_DIGITS = re.compile(rb"[0-9]{1,20}")
_VALUE = re.compile(rb'[:,\[] ?("[^"]*"|[0-9.]+|true|false|null|\{[^{}]*\}|\[[^\[\]]*\])')
_WAYS: tuple[Callable[[Random, bytearray], None], ...] = (
    _flip, _cut, _number, _number, _varint, _remove, _repeat, _word, _move, _digits, _digits, _value,
)  # fmt: skip
