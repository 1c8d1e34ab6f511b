"""The decision: of the signatures that an artifact has, is one by whom it has to be, over what is to be used?

`berth_store.pull`, `gather` and the resolver ask before anything becomes visible; who pulls something that is here
already asks again, with its own demand. No IO but for reading the demand's key.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from berth_store.digest import Digest
from berth_store.errors import SignatureInvalid, SignatureMissing
from berth_store.signing.bundle import MAX_SIGNATURES, UnusableSignatureError, parse_bundle
from berth_store.signing.policies import Policy
from berth_store.signing.statement import Statement, parse_statement

_MAX_TOLD = 3


def check_signatures(
    policy: Policy,
    signatures: Sequence[bytes],
    files: Mapping[str, Digest | None],
    origin: str,
    *,
    listed: Collection[str] | None,
) -> str:
    """Who signed `files`, in words. Raises SignatureMissing or SignatureInvalid, which name `origin`.

    `files` are those that are to be used, by name; a digest is None where it is not known yet. `listed` names all that
    the source has, among which everything must be that was signed; None where that was seen before.
    """
    if not signatures:
        raise SignatureMissing(
            f"{origin}: it has no signature, and {policy.wanted} has to have signed it; sign it by `berth push "
            "--sign-key`, or put a `model.sig` that model_signing has made beside its files"
        )
    refusals: list[UnusableSignatureError] = []
    for content in signatures[:MAX_SIGNATURES]:
        try:
            bundle = parse_bundle(content)
            signer = policy.signer_of(bundle)
            parse_statement(bundle.payload).check(files, listed)
        except UnusableSignatureError as refusal:
            refusals.append(refusal)
        else:
            return signer
    raise SignatureInvalid(
        f"{origin}: it is refused, for {policy.wanted} has to have signed it, and {_told(refusals)}. Nothing of it is "
        "served; sign what is there, or name another signer in spec.source.signature"
    )


def covering(signatures: Iterable[bytes], listed: Collection[str]) -> list[bytes]:
    """The signatures whose files are all listed, whoever signed: those that may be judged again without the source."""
    return [content for content in signatures if (found := _statement(content)) and found.files.keys() <= {*listed}]


def _statement(content: bytes) -> Statement | None:
    try:
        return parse_statement(parse_bundle(content).payload)
    except UnusableSignatureError:
        return None


def _told(refusals: Sequence[UnusableSignatureError]) -> str:
    """The reasons that tell most, each once."""
    most = max(refusal.rank for refusal in refusals)
    reasons = list(dict.fromkeys(str(refusal) for refusal in refusals if refusal.rank == most))
    return " and ".join(reasons[:_MAX_TOLD])
