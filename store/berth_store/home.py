"""Where Berth keeps its files on this machine: `$BERTH_HOME`, else `~/.berth`; and what is wrong if it can't."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from berth_api.errors import FieldError, InvalidSpec
from berth_api.quantity import Quantity, parse_quantity

HOME_VARIABLE = "BERTH_HOME"
QUOTA_VARIABLE = "BERTH_STORE_QUOTA"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def default_home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder for the store, the run directory and the logs; nothing is created here. Raises `InvalidSpec`."""
    chosen = environ.get(HOME_VARIABLE)
    try:
        return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".berth"
    except RuntimeError as error:
        message = (
            f"{chosen} names a user who has no home here" if chosen else "it is not set, and this user has no home"
        )
        raise InvalidSpec(
            FieldError(HOME_VARIABLE, message, "set it to the whole path of a folder of yours")
        ) from error


def default_store(environ: Mapping[str, str] = os.environ) -> Path:
    """The root of the default store."""
    return default_home(environ) / "store"


def default_quota(environ: Mapping[str, str] = os.environ) -> int | None:
    """How many bytes the default store may have, by `$BERTH_STORE_QUOTA`; None for no bound. Raises `InvalidSpec`."""
    chosen = environ.get(QUOTA_VARIABLE, "").strip()
    if not chosen:
        return None
    try:
        parse_quantity(chosen)
    except ValueError:
        message, remedy = f"{chosen!r} is no quantity", "write one such as 100Gi, or unset it"
        raise InvalidSpec(FieldError(QUOTA_VARIABLE, message, remedy)) from None
    return Quantity(chosen).bytes


def explain_os_error(error: OSError) -> str:
    """What the system refused, where, and what to do, for an error that nobody expected at its place."""
    reason = error.strerror or str(error) or type(error).__name__
    what = f"{os.fsdecode(error.filename)}: {reason}" if isinstance(error.filename, str | bytes) else reason
    if error.errno in _FULL:
        return f"{what}.\nFree some space, or set {HOME_VARIABLE} to a folder on a disk that has some."
    return (
        f"{what}.\nBerth keeps its files in {_shown_home()}; make it yours, or set {HOME_VARIABLE} to a folder that is."
    )


def _shown_home() -> str:
    try:
        return str(default_home())
    except InvalidSpec:
        return HOME_VARIABLE
