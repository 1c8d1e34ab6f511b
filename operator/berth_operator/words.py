"""How figures and foreign words stand in messages."""

from typing import Final

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB")


def size_words(size_bytes: int) -> str:
    """`4.7 GiB`: one digit after the point, in the largest unit that leaves one before it."""
    amount, unit = size_bytes / 1024, _UNITS[0]
    for larger in _UNITS[1:]:
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}"


def as_unicode(text: str) -> str:
    """The text without halves of characters, which JSON can say and UTF-8 can't."""
    return text.encode(errors="replace").decode()


def counted(number: int, noun: str) -> str:
    """`1 replica`, `2 replicas`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
