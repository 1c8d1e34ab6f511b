"""Keys, authorities and signatures for tests: `sign_files({"model.gguf": b"…"}, a_key(1))`, and attaching them.

Keys are derived from numbers, so that each run has the same. Signatures are made here by hand from the published
rules, part by part, so that one part can be wrong: no code of ours builds them.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lying_registry import LyingRegistry
from oci_artifacts import MadeArtifact

from berth_store.digest import digest_of
from berth_store.signing.demand import Demand

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE = "https://model_signing/signature/v1.0"
Key = ec.EllipticCurvePrivateKey
_HASHES = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
_NOW = datetime.now(UTC)


def a_key(number: int = 1, curve: ec.EllipticCurve | None = None) -> Key:
    """The same key for the same number."""
    return ec.derive_private_key(10**6 + number, curve or ec.SECP256R1())


def public_pem(key: Key) -> str:
    """The public half as users write it."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form).decode()


def private_pem(key: Key, passphrase: bytes | None = None) -> bytes:
    """The private half as a file has it."""
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def fingerprint(key: Key) -> str:
    """The digits by which a bundle hints at the key."""
    return hashlib.sha256(public_pem(key).encode()).hexdigest()


def by_key(key: Key) -> Demand:
    """The demand for its signature."""
    return Demand("spec.source.signature.key.pem", is_key=True, pem=public_pem(key))


def by_authority(authority: x509.Certificate, *signers: str) -> Demand:
    """The demand for a signature with one of its certificates, of one of these names if there are any."""
    return Demand("spec.source.signature.certificate.pem", is_key=False, pem=pem_of(authority), signers=signers)


def a_statement(files: Mapping[str, bytes], **changed: Any) -> dict[str, Any]:
    """What is signed of files; `changed` replaces parts of the predicate's `serialization`, or whole members."""
    resources = [
        {"name": name, "algorithm": "sha256", "digest": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
    ]
    root = hashlib.sha256(b"".join(bytes.fromhex(each["digest"]) for each in resources)).hexdigest()
    serialization_args = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model", "digest": {"sha256": root}}],
        "predicateType": PREDICATE,
        "predicate": {"serialization": serialization_args | changed.pop("serialization", {}), "resources": resources},
        **changed,
    }


def a_bundle(payload: bytes, key: Key, *, payload_type: str = PAYLOAD_TYPE, **material: Any) -> dict[str, Any]:
    """A signature of the payload, as JSON; `material` names the signer in another way than by the key's fingerprint."""
    encoded = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)
    signature = key.sign(encoded, ec.ECDSA(_HASHES[key.curve.key_size]))
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"tlogEntries": [], **(material or {"publicKey": {"hint": fingerprint(key)}})},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }


def sign_files(files: Mapping[str, bytes], key: Key, **material: Any) -> bytes:
    """The file of a good signature."""
    return json.dumps(a_bundle(json.dumps(a_statement(files)).encode(), key, **material)).encode()


def chain_material(*chain: x509.Certificate) -> dict[str, Any]:
    """What names a signer by certificates, the signer's own first."""
    encoded = [{"rawBytes": base64.b64encode(one.public_bytes(serialization.Encoding.DER)).decode()} for one in chain]
    return {"x509CertificateChain": {"certificates": encoded}}


def a_certificate(
    name: str,
    key: Key,
    issuer: str,
    issuer_key: Key,
    *,
    authority: bool = False,
    signs: bool = True,
    days: tuple[int, int] = (-1, 30),
    alternatives: Sequence[x509.GeneralName] = (),
) -> x509.Certificate:
    """A certificate for the key, valid from and to so many days from now."""
    usage = x509.KeyUsage(
        digital_signature=signs and not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not signs,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(hash_number(name, issuer))
        .not_valid_before(_NOW + timedelta(days=days[0]))
        .not_valid_after(_NOW + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=not name)
    return builder.sign(issuer_key, hashes.SHA256())


def an_authority(name: str = "Model Root", number: int = 90) -> x509.Certificate:
    """An authority of its own; its key is `a_key(number)`."""
    return a_certificate(name, a_key(number), name, a_key(number), authority=True)


def pem_of(*certificates: x509.Certificate) -> str:
    """Certificates as text."""
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in certificates)


def attach(
    registry: LyingRegistry, repository: str, artifact: MadeArtifact, *signatures: bytes, by_tag: bool = True
) -> None:
    """Let the registry have signatures of the artifact: under the tag of its digest, or by its API."""
    entries = []
    for signature in signatures:
        blob = {"mediaType": MEDIA_TYPE, "digest": digest_of(signature), "size": len(signature)}
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "artifactType": MEDIA_TYPE,
                "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2},
                "layers": [blob],
                "subject": {"mediaType": "x", "digest": artifact.digest, "size": len(artifact.manifest)},
            }
        ).encode()
        registry.blobs[digest_of(signature)] = signature
        registry.artifacts[repository, digest_of(manifest)] = manifest
        entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": MEDIA_TYPE}
        entries.append({**entry, "digest": digest_of(manifest), "size": len(manifest)})
    index = json.dumps(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    )
    if by_tag:
        registry.artifacts[repository, artifact.digest.replace(":", "-")] = index.encode()
    else:
        registry.referrers[repository, artifact.digest] = index.encode()


def hash_number(*texts: str) -> int:
    """A serial number."""
    return int.from_bytes(hashlib.sha256("/".join(texts).encode()).digest()[:8]) | 1
