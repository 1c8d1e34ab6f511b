"""Throws damaged signatures at those who read and judge them, and holds them to two rules: a signature that was damaged
is refused by its one error, in bounded time; and one that is still accepted holds, byte for byte, what was signed.

The damage is done to the file, to what is signed (which is then signed again by the right key, as no attacker can, to
come past the signature to what lies behind), and to certificates.
"""

import base64
import json
import time
import traceback
from random import Random

from signatures import a_bundle, a_certificate, a_key, a_statement, an_authority, by_authority, by_key, chain_material
from tests.fuzz.headers import MAX_SECONDS_A_FILE, Finding, Tally
from tests.fuzz.mutations import mutate

from berth_store.digest import digest_of
from berth_store.signing.bundle import UnusableSignatureError, parse_bundle
from berth_store.signing.policies import Policy, build_policy
from berth_store.signing.statement import parse_statement

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "nested/tokenizer.json": b"[]"}
DIGESTS = {name: digest_of(content) for name, content in FILES.items()}
NAME = "model.sig"


def fuzz_bundles(*, seconds: float, seed: int, max_files: int | None = None) -> Tally:
    """Damage signatures for some seconds; it stops at the first finding."""
    random, tally, target = Random(seed), Tally(), _Target()
    for policy, content in target.good():
        tally.outcomes["valid"] += 1
        tally.findings += _judge(policy, content, target.payload, tally)
    if tally.outcomes["accepted"] != tally.outcomes["valid"]:
        tally.findings.append(Finding(NAME, b"", "a good signature is refused"))
    ends = time.monotonic() + seconds
    most = float("inf") if max_files is None else max_files
    while time.monotonic() < ends and not tally.findings and tally.outcomes.total() < most:
        policy, content, signed = target.damaged(random)
        tally.findings += _judge(policy, content, signed, tally)
    return tally


class _Target:
    """Good signatures by a key and with a certificate, and ways to damage them."""

    def __init__(self) -> None:
        self._key, root = a_key(), an_authority()
        own = a_certificate("release@example.com", self._key, "Model Root", a_key(90))
        self.payload = json.dumps(a_statement(FILES, serialization={"ignore_paths": ["notes"]})).encode()
        self._chain = chain_material(own)
        self._by_key, self._by_authority = build_policy(by_key(self._key)), build_policy(by_authority(root))

    def good(self) -> list[tuple[Policy, bytes]]:
        by_certificate = a_bundle(self.payload, self._key, **self._chain)
        return [
            (self._by_key, json.dumps(a_bundle(self.payload, self._key)).encode()),
            (self._by_authority, json.dumps(by_certificate).encode()),
        ]

    def damaged(self, random: Random) -> tuple[Policy, bytes, bytes]:
        """A policy, a signature with some damage, and what is signed by it nevertheless."""
        match random.randrange(5):
            case 0:
                payload = mutate(random, self.payload)
                return self._by_key, json.dumps(a_bundle(payload, self._key)).encode(), payload
            case 1:
                whole = a_bundle(self.payload, self._key)
                whole["dsseEnvelope"]["payload"] = base64.b64encode(mutate(random, self.payload)).decode()
                return self._by_key, json.dumps(whole).encode(), self.payload
            case 2:
                der = base64.b64decode(self._chain["x509CertificateChain"]["certificates"][0]["rawBytes"])
                raw = [{"rawBytes": base64.b64encode(mutate(random, der)).decode()}]
                material = {"x509CertificateChain": {"certificates": raw}}
                whole = a_bundle(self.payload, self._key, **material)
                return self._by_authority, json.dumps(whole).encode(), self.payload
            case _:
                policy, content = random.choice(self.good())
                return policy, mutate(random, content), self.payload


def _judge(policy: Policy, content: bytes, signed: bytes, tally: Tally) -> list[Finding]:
    began = time.monotonic()
    try:
        bundle = parse_bundle(content)
        signer = policy.signer_of(bundle)
        statement = parse_statement(bundle.payload)
        statement.check(dict(DIGESTS), DIGESTS)
    except UnusableSignatureError:
        tally.outcomes["refused"] += 1
    except Exception:  # noqa: BLE001 - whatever is raised besides the one error is the finding
        return [Finding(NAME, content, traceback.format_exc())]
    else:
        tally.outcomes["accepted"] += 1
        if not signer or bundle.payload != signed:
            return [Finding(NAME, content, f"accepted as of {signer!r}, who has signed something else")]
    took = time.monotonic() - began
    return [Finding(NAME, content, f"took {took:.1f} seconds")] if took > MAX_SECONDS_A_FILE else []
