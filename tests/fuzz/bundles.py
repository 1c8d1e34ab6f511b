"""Signatures, and those who read and judge them: a damaged one is refused by its one error, and one that is accepted
still holds, byte for byte, what was signed.

The damage is done to the file, to what is signed (which is then signed again by the right key, as no attacker can, to
come past the signature to what lies behind), and to certificates.
"""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from signatures import a_bundle, a_certificate, a_key, a_statement, an_authority, by_authority, by_key, chain_material
from signed_model import DIGESTS, FILES
from tests.fuzz.run import Sample

from berth_store.signing.bundle import UnusableSignatureError, parse_bundle
from berth_store.signing.policies import Policy, build_policy
from berth_store.signing.statement import parse_statement


def bundle_samples() -> list[Sample]:
    """Good signatures by a key and with a certificate, and what they are made of."""
    key, root = a_key(), an_authority()
    chain = chain_material(a_certificate("release@example.com", key, "Model Root", a_key(90)))
    of_key, of_authority = build_policy(by_key(key)), build_policy(by_authority(root))
    payload = json.dumps(a_statement(FILES, serialization={"ignore_paths": ["notes"]})).encode()
    certificate = base64.b64decode(chain["x509CertificateChain"]["certificates"][0]["rawBytes"])

    def signed_again(content: bytes) -> Iterator[bool]:
        yield _takes(of_key, a_bundle(content, key), content)

    def put_in_place(content: bytes) -> Iterator[bool]:
        whole = a_bundle(payload, key)
        whole["dsseEnvelope"]["payload"] = base64.b64encode(content).decode()
        yield _takes(of_key, whole, payload)

    def certified(content: bytes) -> Iterator[bool]:
        raw = [{"rawBytes": base64.b64encode(content).decode()}]
        yield _takes(of_authority, a_bundle(payload, key, x509CertificateChain={"certificates": raw}), payload)

    def judged(policy: Policy) -> Callable[[bytes], Iterator[bool]]:
        return lambda content: iter([_takes(policy, content, payload)])

    return [
        Sample("by a key", json.dumps(a_bundle(payload, key)).encode(), judged(of_key)),
        Sample("with a certificate", json.dumps(a_bundle(payload, key, **chain)).encode(), judged(of_authority)),
        Sample("what is signed", payload, signed_again),
        Sample("what is signed, changed after", payload, put_in_place),
        Sample("a certificate", certificate, certified),
    ]


def _takes(policy: Policy, bundle: bytes | dict[str, Any], signed: bytes) -> bool:
    try:
        read = parse_bundle(bundle if isinstance(bundle, bytes) else json.dumps(bundle).encode())
        signer = policy.signer_of(read)
        parse_statement(read.payload).check(DIGESTS, DIGESTS)
    except UnusableSignatureError:
        return False
    assert signer, "accepted as of nobody"
    assert read.payload == signed, f"accepted as of {signer!r}, who has signed something else"
    return True
