"""A signature as it lies in a file: reading one that a stranger wrote, and writing our own. Pure.

A bundle is JSON (`application/vnd.dev.sigstore.bundle.v0.3+json`) with the envelope and what names the signer. Nothing
in it is believed here: `berth_store.signing.policies` says who signed, `statement` what was signed. Size, depth and
counts are bounded before anything is built.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from berth_api.errors import UnsupportedModel
from berth_store.headers.bounded_json import Json, parse_json
from berth_store.manifest import canonical_json

SIGNATURE_NAME: Final = "model.sig"
"""The file beside the weights that holds a signature; it can't list itself, so nobody asks that it be signed."""
MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MAX_BUNDLE_BYTES: Final = 4 * 1024 * 1024
"""The list of more than 10,000 files, which is as many as an archive may have."""
MAX_VALUES: Final = 1 << 18
MAX_SIGNATURES: Final = 16
"""How many signatures of one artifact are looked at. More would let whoever may attach them keep a loader busy."""
_MAX_CERTIFICATES: Final = 8
_MAX_TEXT: Final = 256


class UnusableSignatureError(ValueError):
    """Why a signature is not accepted, as a sentence without its beginning. The higher the rank, the more it tells."""

    def __init__(self, why: str, *, rank: int = 0) -> None:
        self.rank = rank
        super().__init__(why)


@dataclass(frozen=True)
class Bundle:
    """One signature. Which of the three methods made it is told by what it brings to name the signer:

    a `hint` at a public key (empty in bundles of before 2025), a chain of certificates in DER, or, for Sigstore's
    keyless method, one certificate that lived for minutes (`is_keyless`).
    """

    payload: bytes
    signature: bytes
    hint: str = ""
    certificates: tuple[bytes, ...] = ()
    is_keyless: bool = False

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is over: DSSE's pre-authentication encoding."""
        return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(self.payload), self.payload)


def parse_bundle(content: bytes) -> Bundle:
    """The signature in a file. Raises UnusableSignatureError."""
    bundle = as_object(parse_signed_json(content, "the signature"), "the signature")
    if bundle.get("mediaType") != MEDIA_TYPE:
        raise UnusableSignatureError(f"its `mediaType` is not {MEDIA_TYPE}")
    envelope = as_object(bundle.get("dsseEnvelope"), "its `dsseEnvelope`")
    if envelope.get("payloadType") != PAYLOAD_TYPE:
        raise UnusableSignatureError(f"its `payloadType` is not {PAYLOAD_TYPE}")
    signatures = _list(envelope.get("signatures"), "its `signatures`")
    if len(signatures) != 1:
        raise UnusableSignatureError(f"its envelope has {len(signatures)} signatures, and one is expected")
    payload = _bytes(envelope.get("payload"), "its `payload`")
    signature = _bytes(as_object(signatures[0], "its signature").get("sig"), "its `sig`")
    material = as_object(bundle.get("verificationMaterial"), "its `verificationMaterial`")
    methods = [name for name in ("publicKey", "x509CertificateChain", "certificate") if name in material]
    if len(methods) != 1:
        raise UnusableSignatureError("its `verificationMaterial` does not name exactly one key or certificate")
    named = as_object(material[methods[0]], f"its `{methods[0]}`")
    if methods[0] == "publicKey":
        hint = named.get("hint") or ""
        if not isinstance(hint, str) or len(hint) > _MAX_TEXT or not hint.isprintable():
            raise UnusableSignatureError("its `hint` names no key")
        return Bundle(payload, signature, hint=hint)
    if methods[0] == "certificate":
        return Bundle(payload, signature, certificates=(_certificate(named),), is_keyless=True)
    chain = _list(named.get("certificates"), "its `certificates`")
    if not 0 < len(chain) <= _MAX_CERTIFICATES:
        raise UnusableSignatureError(f"it brings {len(chain)} certificates; 1 to {_MAX_CERTIFICATES} are read")
    return Bundle(
        payload, signature, certificates=tuple(_certificate(as_object(one, "a certificate")) for one in chain)
    )


def render_bundle(bundle: Bundle) -> bytes:
    """The file of a signature by a key or a certificate."""
    material: dict[str, object] = {"tlogEntries": []}
    if bundle.certificates:
        encoded = [{"rawBytes": _text(certificate)} for certificate in bundle.certificates]
        material["x509CertificateChain"] = {"certificates": encoded}
    else:
        material["publicKey"] = {"hint": bundle.hint}
    envelope = {
        "payload": _text(bundle.payload),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": _text(bundle.signature), "keyid": ""}],
    }
    return canonical_json({"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope})


def parse_signed_json(content: bytes, name: str) -> Json:
    """JSON within the bounds of a signature. Raises UnusableSignatureError."""
    if len(content) > MAX_BUNDLE_BYTES:
        raise UnusableSignatureError(f"{name} has more than {MAX_BUNDLE_BYTES:,} bytes")
    try:
        return parse_json(content, name, most_values=MAX_VALUES)
    except UnsupportedModel as error:
        raise UnusableSignatureError(str(error)) from error


def as_object(value: Json, name: str) -> Mapping[str, Json]:
    """The object that `value` is; UnusableSignatureError says of what `name` names that it is none."""
    if not isinstance(value, Mapping):
        raise UnusableSignatureError(f"{name} is no object")
    return value


def _list(value: Json, name: str) -> Sequence[Json]:
    if not isinstance(value, list):
        raise UnusableSignatureError(f"{name} is no list")
    return value


def _certificate(value: Mapping[str, Json]) -> bytes:
    return _bytes(value.get("rawBytes"), "a certificate")


def _bytes(value: Json, name: str) -> bytes:
    if isinstance(value, str):
        try:
            found = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            found = b""
        if found:
            return found
    raise UnusableSignatureError(f"{name} is no base64")


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
