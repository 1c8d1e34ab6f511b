"""What commands are told of signatures: keys and certificates in files, as options that several of them share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from berth_api.errors import FieldError, InvalidSpec
from berth_store.signing.demand import Demand

if TYPE_CHECKING:
    from berth_store.signing.sign import Signer

SIGN_KEY: Final = "--sign-key"
SIGN_CERTIFICATE: Final = "--sign-certificate"
VERIFY_KEY: Final = "--verify-key"
VERIFY_AUTHORITY: Final = "--verify-authority"
VERIFY_SIGNER: Final = "--verify-signer"
ENV_PASSPHRASE = "BERTH_SIGN_PASSPHRASE"  # noqa: S105 - the name of a variable
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_Command = TypeVar("_Command", bound=Callable[..., Any])


def sign_options(command: _Command) -> _Command:
    """Give a command `sign_key` and `sign_certificate`."""
    certificate = "The key's certificate in PEM, and those between it and its authority; with --sign-key."
    key = f"Sign the artifact by this private key (PEM, elliptic curve); {ENV_PASSPHRASE} opens an encrypted one."
    with_certificate = click.option(SIGN_CERTIFICATE, type=_FILE, metavar="FILE", help=certificate)(command)
    return click.option(SIGN_KEY, type=_FILE, metavar="FILE", help=key)(with_certificate)


def verify_options(command: _Command) -> _Command:
    """Give a command `verify_key`, `verify_authority` and `verify_signer`."""
    authority = "Refuse it unless it is signed with a certificate of this authority (PEM)."
    key = "Refuse it unless it is signed by this public key (PEM)."
    signer = f"Of these only one of this name, such as an e-mail address; with {VERIFY_AUTHORITY}. May be repeated."
    with_signer = click.option(VERIFY_SIGNER, multiple=True, metavar="NAME", help=signer)(command)
    with_authority = click.option(VERIFY_AUTHORITY, type=_FILE, metavar="FILE", help=authority)(with_signer)
    return click.option(VERIFY_KEY, type=_FILE, metavar="FILE", help=key)(with_authority)


def read_signer(key: Path | None, certificate: Path | None) -> "Signer | None":
    """The signer that is asked for, if one is. Raises InvalidSpec, or `click.UsageError` for half of one."""
    if key is None:
        if certificate is not None:
            raise click.UsageError(f"{SIGN_CERTIFICATE} names the owner of a key: give {SIGN_KEY} too")
        return None
    from berth_store.signing.sign import load_signer  # noqa: PLC0415 - what signs nothing starts sooner without it

    passphrase = os.environ.get(ENV_PASSPHRASE)
    return load_signer(
        _read(key, SIGN_KEY),
        _read(certificate, SIGN_CERTIFICATE) if certificate is not None else None,
        passphrase=passphrase.encode() if passphrase else None,
    )


def read_demand(key: Path | None, authority: Path | None, signers: tuple[str, ...]) -> Demand | None:
    """The demand that is made, if one is. Raises `click.UsageError` for two, or half of one."""
    if signers and authority is None:
        raise click.UsageError(f"{VERIFY_SIGNER} chooses among whom an authority knows: give {VERIFY_AUTHORITY} too")
    if key is not None and authority is not None:
        raise click.UsageError(f"{VERIFY_KEY} and {VERIFY_AUTHORITY} exclude each other")
    if key is not None:
        return Demand(VERIFY_KEY, is_key=True, path=key)
    if authority is None:
        return None
    return Demand(VERIFY_AUTHORITY, is_key=False, path=authority, signers=signers)


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"{path} can't be read: {error.strerror}"
        raise InvalidSpec(FieldError(option, message, "name a PEM file that can be read")) from error
