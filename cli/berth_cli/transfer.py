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
from berth_store.signing.demand import Demand
from berth_store.sources.address import Address, Name
from berth_store.sources.identity import stored_digest

if TYPE_CHECKING:
    from rich.console import Console

    from berth_store.signing.sign import Signer


class Interrupted(BerthError):  # noqa: N818 - said as what happened
    """Ctrl-C during a transfer; the message says what is kept."""

    exit_code = INTERRUPTED


def pull_shown(name: Name, console: "Console | Lines", demand: Demand | None = None) -> None:
    """Pulls and says the digest that a Model may pin, and who has signed it if that is asked. Raises `BerthError`."""
    store = Store(quota_bytes=default_quota())
    with transfer_screen(console) as progress:
        digest = _run(
            _pull(store, name, progress, demand),
            f"What was fetched is kept: `berth pull {name.familiar}` goes on from there.",
        )
    is_gathered = isinstance(name, Address) and not isinstance(name.location, Reference)
    say(console, f"{name.familiar}: {stored_digest(store.manifest(digest)) if is_gathered else digest}")
    if demand is not None:
        say(console, f"signed by {signer_of(store, name, digest, demand)}")


def signer_of(store: Store, name: Name, digest: Digest, demand: Demand) -> str:
    """Who has signed what was pulled as demanded."""
    from berth_store.signing.judge import Judge  # noqa: PLC0415 - it takes the library for keys with it

    return Judge(demand).signer_of(store, name, digest)


def push_shown(reference: Reference, console: "Console | Lines", signer: "Signer | None" = None) -> None:
    """Signs if a signer is given, pushes, and says the digest. Raises `BerthError`."""
    from berth_store.push import push  # noqa: PLC0415 - a pull starts sooner without it

    if signer is not None:
        sign_shown(reference, signer, console)
    with transfer_screen(console) as progress:
        digest = _run(
            push(Store(), reference, progress=progress),
            f"What the registry has taken is not sent again: `berth push {reference.familiar}` goes on.",
        )
    say(console, f"{reference.familiar}: {digest}")


def sign_shown(reference: Reference, signer: "Signer", console: "Console | Lines") -> None:
    """Signs an artifact of the store and says by whom. Raises `BerthError`."""
    from berth_store.signing.sign import sign_artifact  # noqa: PLC0415 - as above

    sign_artifact(Store(), reference, signer)
    say(console, f"signed by {signer.name}")


async def _pull(store: Store, name: Name, progress: Report, demand: Demand | None) -> Digest:
    digest, hold = await fetch_and_hold(store, name, progress=progress, demand=demand)
    if hold is not None:
        hold.close()
    return digest


def _run(transfer: Coroutine[Any, Any, Digest], interrupted: str) -> Digest:
    try:
        return asyncio.run(transfer)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted.\n{interrupted}") from None
