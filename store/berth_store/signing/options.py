"""The command-line options by which loader and resolver are told whose signature is demanded."""

import argparse
from pathlib import Path
from typing import Final

from berth_store.signing.demand import Demand

_PEM: Final = "-----BEGIN "
_IN_POD: Final = "make the ConfigMap that it names, with that key, in the Model's namespace"


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--signed-by-key` and `--signed-by-authority`, of which one may be given, and `--signer` beside the latter."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--signed-by-key", default="", metavar="PEM|FILE", help="who has to have signed: a public key")
    either.add_argument(
        "--signed-by-authority",
        default="",
        metavar="PEM|FILE",
        help="whose certificates signers have to have: the authority's own",
    )
    parser.add_argument(
        "--signer", action="append", default=[], metavar="NAME", help="of those only one of this name; may be repeated"
    )


def read_demand(given: argparse.Namespace) -> Demand | None:
    """The demand of a parsed command line; a text in PEM is taken as it is, anything else names a file."""
    text = given.signed_by_key or given.signed_by_authority
    if not text:
        return None
    is_key = bool(given.signed_by_key)
    field = f"spec.source.signature.{'key' if is_key else 'certificate'}"
    if text.lstrip().startswith(_PEM):
        return Demand(f"{field}.pem", is_key, pem=text, signers=tuple(given.signer))
    return Demand(f"{field}.configMapRef", is_key, path=Path(text), remedy=_IN_POD, signers=tuple(given.signer))
