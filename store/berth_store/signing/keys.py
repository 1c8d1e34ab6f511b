"""Keys that sign models: elliptic curves P-256, P-384 and P-521, as the specification lists them, read from PEM.

The hash of a signature follows from the curve of the key that is trusted, never from what a bundle says.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from berth_api.errors import FieldError, InvalidSpec
from berth_store.signing.bundle import Bundle

_HASHES: Final[Mapping[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
_OTHER_KIND: Final = "it is no elliptic-curve key of P-256, P-384 or P-521"
_MAKE_ONE: Final = "make one by `openssl ecparam -name prime256v1 -genkey -noout`"


def load_public_key(pem: bytes, field: str) -> ec.EllipticCurvePublicKey:
    """The key in a PEM text. Raises InvalidSpec, which names `field`."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        remedy = "write the PEM text that begins with -----BEGIN PUBLIC KEY-----"
        raise InvalidSpec(FieldError(field, "it holds no public key", remedy)) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not is_usable(key):
        raise InvalidSpec(FieldError(field, _OTHER_KIND, f"{_MAKE_ONE}, and sign with it"))
    return key


def load_private_key(pem: bytes, field: str, *, passphrase: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """The key in a PEM text, perhaps encrypted. Raises InvalidSpec, which names `field`."""
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except TypeError as error:
        remedy = "set BERTH_SIGN_PASSPHRASE" if passphrase is None else "unset BERTH_SIGN_PASSPHRASE"
        said = "the key is encrypted" if passphrase is None else "the key is not encrypted"
        raise InvalidSpec(FieldError(field, said, remedy)) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        remedy = "give a file that begins with -----BEGIN … PRIVATE KEY-----, and the passphrase if it has one"
        raise InvalidSpec(FieldError(field, "it can't be read as a private key", remedy)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not is_usable(key.public_key()):
        raise InvalidSpec(FieldError(field, _OTHER_KIND, _MAKE_ONE))
    return key


def is_usable(key: ec.EllipticCurvePublicKey) -> bool:
    """Whether models may be signed on its curve."""
    return key.curve.name in _HASHES


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """The name by which bundles hint at a key: the sha256 of its PEM text, `openssl pkey -pubin | sha256sum`."""
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def has_signed(key: ec.EllipticCurvePublicKey, bundle: Bundle) -> bool:
    """Whether the signature is the key's, over exactly this payload."""
    try:
        key.verify(bundle.signature, bundle.signed_bytes, ec.ECDSA(_HASHES[key.curve.name]))
    except InvalidSignature:
        return False
    return True


def sign(key: ec.EllipticCurvePrivateKey, signed_bytes: bytes) -> bytes:
    """A signature by the key."""
    return key.sign(signed_bytes, ec.ECDSA(_HASHES[key.curve.name]))
