"""Signing an artifact of the store, by a key alone or by one that a certificate names.

Only the list of its files is signed, by the digests under which they lie here, so that signing takes a moment however
large they are.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from berth_api.errors import FieldError, InvalidSpec, UnsupportedModel
from berth_store.digest import Digest
from berth_store.errors import SourceNotFound
from berth_store.reference import Reference
from berth_store.signing import keys
from berth_store.signing.bundle import Bundle, UnusableSignatureError, parse_bundle, render_bundle
from berth_store.signing.certificates import describe, load_certificates
from berth_store.signing.kept import keep, read_kept
from berth_store.signing.policies import key_name
from berth_store.signing.statement import build_payload, is_left_out
from berth_store.unpack import unpack
from berth_store.view import plan_view

if TYPE_CHECKING:
    from berth_store.local import Store

KEY_FIELD = "--sign-key"
CERTIFICATE_FIELD = "--sign-certificate"


@dataclass(frozen=True)
class Signer:
    """A private key and, if there are, the certificate that names it and those between it and its authority."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def name(self) -> str:
        """Who signs, in the words by which verifiers name the same."""
        return describe(self.chain[0]) if self.chain else key_name(keys.fingerprint(self.key.public_key()))

    def sign(self, payload: bytes) -> bytes:
        """The file of a signature over the payload."""
        hint = "" if self.chain else keys.fingerprint(self.key.public_key())
        unsigned = Bundle(payload, b"", hint=hint, certificates=self._der)
        return render_bundle(replace(unsigned, signature=keys.sign(self.key, unsigned.signed_bytes)))

    def has_signed(self, content: bytes, payload: bytes) -> bool:
        """Whether a signature is this signer's, over this payload: every one is another file."""
        try:
            bundle = parse_bundle(content)
        except UnusableSignatureError:
            return False
        is_named_alike = bundle.certificates == self._der and bundle.payload == payload
        return is_named_alike and keys.has_signed(self.key.public_key(), bundle)

    @property
    def _der(self) -> tuple[bytes, ...]:
        return tuple(one.public_bytes(serialization.Encoding.DER) for one in self.chain)


def load_signer(key_pem: bytes, chain_pem: bytes | None, *, passphrase: bytes | None = None) -> Signer:
    """The signer of a command line's files. Raises InvalidSpec, which names the option."""
    key = keys.load_private_key(key_pem, KEY_FIELD, passphrase=passphrase)
    chain = load_certificates(chain_pem, CERTIFICATE_FIELD) if chain_pem is not None else ()
    if chain and chain[0].public_key() != key.public_key():
        message, remedy = "its first certificate is of another key", "write the certificate of the key first"
        raise InvalidSpec(FieldError(CERTIFICATE_FIELD, message, remedy))
    return Signer(key, chain)


def sign_artifact(store: "Store", reference: Reference, signer: Signer) -> Digest:
    """Sign the artifact that the name stands for, and keep the signature in the store; the artifact's digest.

    Raises SourceNotFound where the store has none of that name, or not all of it.
    """
    artifact = store.resolve(reference)
    if artifact is None:
        raise SourceNotFound(f"{reference}: this store has no such name; `berth list` shows the ones it has")
    with store.using():
        manifest = store.manifest(artifact)
        links = plan_view(manifest, str(reference), unpack(store, manifest, str(reference)))
        files = {name: link.digest for link in links if not is_left_out(name := str(link.name))}
        if not files:
            raise UnsupportedModel(f"{reference}: there is no file in it that could be signed")
        payload = build_payload(reference.repository.rpartition("/")[2], files)
        if not any(signer.has_signed(content, payload) for content in read_kept(store, artifact)):
            keep(store, artifact, [signer.sign(payload)])
    return artifact
