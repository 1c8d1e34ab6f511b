"""How sizes in bytes stand in messages."""

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
