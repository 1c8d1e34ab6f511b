"""How counts and foreign words stand in messages."""


def as_unicode(text: str) -> str:
    """The text without halves of characters, which JSON can say and UTF-8 can't."""
    return text.encode(errors="replace").decode()


def counted(number: int, noun: str) -> str:
    """`1 replica`, `2 replicas`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
