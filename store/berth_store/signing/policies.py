"""Whose signature is demanded, as values that judge bundles: a public key, or authorities that issue certificates.

`build_policy` makes one of what `spec.source.signature`, the loader's options or a command line say. There is none for
Sigstore's keyless method: its bundles are told from others, and refused with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from berth_api.errors import FieldError, InvalidSpec
from berth_store.signing.bundle import Bundle, UnusableSignatureError
from berth_store.signing.certificates import check_chain, describe, load_certificates, names_of, parse_chain
from berth_store.signing.demand import Demand
from berth_store.signing.keys import fingerprint, has_signed, load_public_key

MAX_PEM_BYTES: Final = 64 * 1024
_FORGED: Final = "what it holds is not what was signed, or somebody else has signed it"


class Policy(Protocol):
    """Whose signatures are accepted; `wanted` says it in words."""

    @property
    def wanted(self) -> str: ...  # noqa: D102

    def signer_of(self, bundle: Bundle) -> str:
        """Who signed, in words. Raises UnusableSignatureError unless it is the one who has to, over this payload."""
        ...


@dataclass(frozen=True)
class KeyPolicy:
    """One public key."""

    key: ec.EllipticCurvePublicKey

    @property
    def wanted(self) -> str:
        """See `Policy`."""
        return key_name(fingerprint(self.key))

    def signer_of(self, bundle: Bundle) -> str:
        """See `Policy`."""
        if bundle.certificates:
            raise UnusableSignatureError(f"it is signed by {claimed_signer(bundle)}", rank=1)
        if bundle.hint and bundle.hint != fingerprint(self.key):
            raise UnusableSignatureError(f"it is signed by {key_name(bundle.hint)}", rank=1)
        if not has_signed(self.key, bundle):
            raise UnusableSignatureError(f"the signature is not of {self.wanted}: {_FORGED}", rank=1)
        return self.wanted


@dataclass(frozen=True)
class AuthorityPolicy:
    """Authorities: whoever has a certificate of theirs for signing, may sign, or of these who bears one of the names
    `signers`. `now` is asked at each judgement.
    """

    authorities: tuple[x509.Certificate, ...]
    signers: frozenset[str] = frozenset()
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    @property
    def wanted(self) -> str:
        """See `Policy`."""
        whose = f" of {' or '.join(sorted(self.signers))}" if self.signers else ""
        return f"a certificate{whose} that goes back to {describe(self.authorities[0]).partition(', issued by')[0]}"

    def signer_of(self, bundle: Bundle) -> str:
        """See `Policy`."""
        if not bundle.certificates or bundle.is_keyless:
            raise UnusableSignatureError(f"it is signed by {claimed_signer(bundle)}", rank=1)
        chain = parse_chain(bundle.certificates)
        if not has_signed(check_chain(chain, self.authorities, self.now()), bundle):
            raise UnusableSignatureError(f"the signature is not of {describe(chain[0])}: {_FORGED}", rank=1)
        if self.signers and not self.signers & names_of(chain[0]):
            raise UnusableSignatureError(f"it is signed by {describe(chain[0])}, which is nobody's who may", rank=1)
        return describe(chain[0])


def build_policy(demand: Demand) -> Policy:
    """The policy of a demand. Raises InvalidSpec, which names its field."""
    pem = _read(demand)
    if demand.is_key:
        return KeyPolicy(load_public_key(pem, demand.field))
    return AuthorityPolicy(load_certificates(pem, demand.field), frozenset(demand.signers))


def _read(demand: Demand) -> bytes:
    if demand.path is None:
        return demand.pem.encode()
    try:
        return read_pem(demand.path, demand.field)
    except FileNotFoundError as error:
        raise InvalidSpec(FieldError(demand.field, f"there is no {demand.path}", demand.remedy)) from error


def read_pem(path: Path, field_name: str) -> bytes:
    """A PEM file, within bounds. Raises InvalidSpec, or FileNotFoundError where there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PEM_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        message = f"{path} can't be read: {error.strerror}"
        raise InvalidSpec(FieldError(field_name, message, "name a PEM file that can be read")) from error
    if len(content) > MAX_PEM_BYTES:
        message = f"{path} has more than {MAX_PEM_BYTES:,} bytes"
        raise InvalidSpec(FieldError(field_name, message, "name a PEM file with the key or certificates alone"))
    return content


def claimed_signer(bundle: Bundle) -> str:
    """Whom an unproven bundle names."""
    if not bundle.certificates:
        return key_name(bundle.hint)
    try:
        name = describe(parse_chain(bundle.certificates)[0])
    except UnusableSignatureError:
        name = "a certificate that can't be read"
    return f"an identity of Sigstore ({name}), which this version does not prove" if bundle.is_keyless else name


def key_name(digits: str) -> str:
    """A key by its fingerprint, for people."""
    return f"the key sha256:{digits}" if digits else "a key that it does not name"
