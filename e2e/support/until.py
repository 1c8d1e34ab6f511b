"""Waiting with a deadline: look again and again, and say what was seen last when it does not come true."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
STEP_SECONDS = 0.1


def until(
    look: Callable[[], Found | None], *, seconds: float, what: str, seen: Callable[[], object] = lambda: ""
) -> Found:
    """The first thing that `look` finds, which is neither None nor False; AssertionError after `seconds`.

    `seen` is asked once at the end, for the words of the error.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"within {seconds:.0f} s it did not happen: {what}\n{seen()}")
        time.sleep(STEP_SECONDS)
