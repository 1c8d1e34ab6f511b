"""A model of three files, the key and the chain of certificates by which it is signed, and what is said of that.

judge([sign_files(FILES, KEY)])              # who signed, in words
refusal([bundle(**chain_material(SIGNER))])  # why it is refused where the signature of `KEY` is demanded
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest
from signatures import Key, a_bundle, a_certificate, a_key, a_statement, an_authority, by_key

from berth_store.digest import Digest, digest_of
from berth_store.errors import SignatureInvalid
from berth_store.signing.check import check_signatures
from berth_store.signing.demand import Demand
from berth_store.signing.policies import build_policy

Json = dict[str, Any]

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "nested/tokenizer.json": b"[]"}
DIGESTS: dict[str, Digest | None] = {name: digest_of(content) for name, content in FILES.items()}
KEY = a_key()
ROOT, ROOT_KEY = an_authority(), a_key(90)
BETWEEN = a_certificate("Between", a_key(91), "Model Root", ROOT_KEY, authority=True)
SIGNER = a_certificate("release@example.com", KEY, "Between", a_key(91))


def judge(
    signatures: Sequence[bytes],
    demand: Demand | None = None,
    files: Mapping[str, Digest | None] = DIGESTS,
    *,
    listed: Collection[str] | None = None,
) -> str:
    """Who signed the files; `listed` is what the source has besides. Raises as `check_signatures` does."""
    policy = build_policy(demand or by_key(KEY))
    return check_signatures(policy, signatures, files, "oci://r/m", listed=files if listed is None else listed)


def refusal(
    signatures: Sequence[bytes], demand: Demand | None = None, files: Mapping[str, Digest | None] = DIGESTS
) -> str:
    """Why the signatures are refused."""
    with pytest.raises(SignatureInvalid) as refused:
        judge(signatures, demand, files)
    return str(refused.value)


def bundle(statement: Json | None = None, key: Key = KEY, **material: Any) -> bytes:
    """A signature of the model, or of another statement; `material` as `a_bundle` takes it."""
    payload = json.dumps(a_statement(FILES) if statement is None else statement).encode()
    return json.dumps(a_bundle(payload, key, **material)).encode()
