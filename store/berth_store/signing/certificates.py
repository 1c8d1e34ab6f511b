"""Signing certificates: a chain from a bundle up to an authority that is trusted, and the name of who signed.

The path is built and checked by `cryptography.x509.verification`. What is ours are the rules of the specification for
a leaf: within its time, an elliptic-curve key, and made for signing. Of an authority it is asked that it is one.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from berth_api.errors import FieldError, InvalidSpec
from berth_store.signing.bundle import UnusableSignatureError
from berth_store.signing.keys import is_usable

_MAX_DEPTH: Final = 4
_UNREADABLE: Final = (
    *(ValueError, UnsupportedAlgorithm, CryptographyDeprecationWarning),
    *(x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType),
)
_MAX_AUTHORITIES: Final = 16
_MAX_NAME: Final = 200


def load_certificates(pem: bytes, field: str) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM text, in its order. Raises InvalidSpec, which names `field`."""
    try:
        with _strictly():
            found = tuple(map(_whole, x509.load_pem_x509_certificates(pem)))
    except _UNREADABLE as error:
        remedy = "write the PEM text that begins with -----BEGIN CERTIFICATE-----"
        raise InvalidSpec(FieldError(field, "it holds no certificate", remedy)) from error
    if len(found) > _MAX_AUTHORITIES:
        remedy = f"name at most {_MAX_AUTHORITIES}, those whose signers are trusted"
        raise InvalidSpec(FieldError(field, f"it holds {len(found)} certificates", remedy))
    return found


def parse_chain(chain: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    """The certificates of a bundle. Raises UnusableSignatureError."""
    try:
        with _strictly():
            return tuple(_whole(x509.load_der_x509_certificate(der)) for der in chain)
    except _UNREADABLE as error:
        raise UnusableSignatureError("a certificate that it brings can't be read") from error


def check_chain(
    chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate], now: datetime
) -> ec.EllipticCurvePublicKey:
    """The key of the leaf, which comes first, once an authority vouches for it. Raises UnusableSignatureError."""
    leaf, name = chain[0], describe(chain[0])
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise UnusableSignatureError(
            f"it is signed by {name}, which is valid from {leaf.not_valid_before_utc:%Y-%m-%d} to "
            f"{leaf.not_valid_after_utc:%Y-%m-%d}",
            rank=1,
        )
    authority = ExtensionPolicy.permit_all()
    authority = authority.require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_authority)
    authority = authority.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)
    policy = PolicyBuilder().store(Store(list(authorities))).time(now).max_chain_depth(_MAX_DEPTH)
    policy = policy.extension_policies(ca_policy=authority, ee_policy=ExtensionPolicy.permit_all())
    try:
        policy.build_client_verifier().verify(leaf, list(chain[1:]))
    except VerificationError as error:
        raise UnusableSignatureError(
            f"it is signed by {name}, for which no trusted authority vouches ({str(error)[:_MAX_NAME]})", rank=1
        ) from error
    key = leaf.public_key()
    if not _is_for_signing(leaf):
        raise UnusableSignatureError(f"it is signed by {name}, whose certificate is not one for signing", rank=1)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not is_usable(key):
        raise UnusableSignatureError(f"it is signed by {name}, whose key is not one of P-256, P-384 or P-521", rank=1)
    return key


def describe(certificate: x509.Certificate) -> str:
    """Whom a certificate names, and who says so, for people."""
    subject = certificate.subject.rfc4514_string() or next(iter(_alternative_names(certificate)), "")
    return f"the certificate {_printable(subject)}, issued by {_printable(certificate.issuer.rfc4514_string())}"


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """The names by which a certificate knows its owner: alternative ones or, where it has none, those of the subject.

    Authorities that check the first often let the other be whatever is asked for.
    """
    if alternative := _alternative_names(certificate):
        return frozenset(alternative)
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return frozenset({certificate.subject.rfc4514_string(), *(str(attribute.value) for attribute in common)})


@contextmanager
def _strictly() -> Iterator[None]:
    """Refuse what the library only warns of, and will refuse one day."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        yield


def _whole(certificate: x509.Certificate) -> x509.Certificate:
    """The certificate once all its parts were read: the library reads each when it is asked for."""
    _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.public_key()
    _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return certificate


def _alternative_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    kinds = (x509.RFC822Name, x509.UniformResourceIdentifier, x509.DNSName)
    return tuple(name.value for name in found if isinstance(name, kinds))


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else " " for character in name)[:_MAX_NAME] or "without a name"


def _is_authority(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("a certificate that is no authority has issued another")


def _signs_certificates(_: Policy, __: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an authority's certificate is not made for issuing others")


def _is_for_signing(leaf: x509.Certificate) -> bool:
    try:
        if leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            return True
    except x509.ExtensionNotFound:
        pass
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CODE_SIGNING in usage
