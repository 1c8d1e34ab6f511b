"""Runs the coroutine of a transfer to its end, for commands that are not asynchronous themselves."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from berth_api.errors import BerthError
from berth_cli.failure import INTERRUPTED

Result = TypeVar("Result")


class Interrupted(BerthError):  # noqa: N818 - said as what happened
    """Ctrl-C during a transfer; the message says what is kept."""

    exit_code = INTERRUPTED


def run_transfer(transfer: Coroutine[Any, Any, Result], *, interrupted: str) -> Result:
    """The transfer's result. Raises `Interrupted` with that message on Ctrl-C."""
    try:
        return asyncio.run(transfer)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted.\n{interrupted}") from None
