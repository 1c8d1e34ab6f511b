"""Transfers as commands run them: with progress, and a sentence on Ctrl-C."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from berth_api.errors import BerthError
from berth_cli.failure import INTERRUPTED
from berth_cli.show.lines import Lines, say
from berth_cli.show.transfer import transfer_screen
from berth_store.digest import Digest
from berth_store.fetched import fetch_and_hold
from berth_store.home import default_quota
from berth_store.local import Store
from berth_store.progress import Report
from berth_store.reference import Reference
from berth_store.sources.address import Address, Name
from berth_store.sources.identity import stored_digest

if TYPE_CHECKING:
    from rich.console import Console


class Interrupted(BerthError):  # noqa: N818 - said as what happened
    """Ctrl-C during a transfer; the message says what is kept."""

    exit_code = INTERRUPTED


def pull_shown(name: Name, console: "Console | Lines") -> None:
    """Pulls and says the digest that a Model may pin. Raises `BerthError`."""
    store = Store(quota_bytes=default_quota())
    with transfer_screen(console) as progress:
        digest = _run(
            _pull(store, name, progress),
            f"What was fetched is kept: `berth pull {name.familiar}` goes on from there.",
        )
    is_gathered = isinstance(name, Address) and not isinstance(name.location, Reference)
    say(console, f"{name.familiar}: {stored_digest(store.manifest(digest)) if is_gathered else digest}")


def push_shown(reference: Reference, console: "Console | Lines") -> None:
    """Pushes and says the digest. Raises `BerthError`."""
    from berth_store.push import push  # noqa: PLC0415 - a pull starts sooner without it

    with transfer_screen(console) as progress:
        digest = _run(
            push(Store(), reference, progress=progress),
            f"What the registry has taken is not sent again: `berth push {reference.familiar}` goes on.",
        )
    say(console, f"{reference.familiar}: {digest}")


async def _pull(store: Store, name: Name, progress: Report) -> Digest:
    digest, hold = await fetch_and_hold(store, name, progress=progress)
    if hold is not None:
        hold.close()
    return digest


def _run(transfer: Coroutine[Any, Any, Digest], interrupted: str) -> Digest:
    try:
        return asyncio.run(transfer)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted.\n{interrupted}") from None
