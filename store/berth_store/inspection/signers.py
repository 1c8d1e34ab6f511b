"""Whom attached signatures name. Nothing is judged: anybody may attach one that names somebody else."""

from collections.abc import Iterable

from berth_store.inspection.description import AttachedSignature
from berth_store.signing.bundle import MAX_SIGNATURES, UnusableSignatureError, parse_bundle


def name_signers(signatures: Iterable[bytes]) -> tuple[AttachedSignature, ...]:
    """Each signature once, in the order in which they were found."""
    return tuple(map(_name, tuple(dict.fromkeys(signatures))[:MAX_SIGNATURES]))


def _name(content: bytes) -> AttachedSignature:
    from berth_store.signing.policies import claimed_signer  # noqa: PLC0415 - it takes the library for keys with it

    try:
        return AttachedSignature(claimed_signer=claimed_signer(parse_bundle(content)))
    except UnusableSignatureError as error:
        return AttachedSignature(problem=str(error))
