"""Sizes, counts and times as people read them. Pure."""

from datetime import datetime

_DECIMAL = ("B", "kB", "MB", "GB", "TB")
_COUNTS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_AGES = (
    (365 * 86400, "year"),
    (30 * 86400, "month"),
    (7 * 86400, "week"),
    (86400, "day"),
    (3600, "hour"),
    (60, "minute"),
)


def bytes_text(size_bytes: float) -> str:
    """`98.3MB`: decimal units and three digits, as Docker prints them."""
    value = float(size_bytes)
    for unit in _DECIMAL:
        if value < 999.5 or unit == _DECIMAL[-1]:
            return f"{value:.0f}{unit}" if unit == "B" else f"{_three_digits(value)}{unit}"
        value /= 1000
    raise AssertionError("the loop ends with the largest unit")


def count_text(count: int | None) -> str:
    """`134.52M` parameters; empty when unknown."""
    if count is None:
        return ""
    for size, unit in _COUNTS:
        if count >= size:
            return f"{count / size:.2f}{unit}"
    return str(count)


def seconds_text(seconds: float) -> str:
    """`4 s`, `2 min 5 s`, `1 h 10 min`; tenths below ten seconds."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def age_text(then: datetime | None, now: datetime) -> str:
    """`3 days ago`, as Docker says it; empty when unknown."""
    if then is None:
        return ""
    seconds = max((now - then).total_seconds(), 0)
    for size, unit in _AGES:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
