"""What `model_signing` has written, kept as it was. `make nightly` asks the program itself, and shows it ours."""

import base64
import json
from typing import Any

import tools
from signed_model import judge, refusal

from berth_store.digest import Digest, digest_of
from berth_store.signing.demand import Demand
from berth_store.signing.statement import build_payload

THEIRS: dict[str, Any] = json.loads((tools.REPOSITORY / "tests/reference/model_signing.json").read_text("utf-8"))
THEIR_FILES: dict[str, Digest | None] = {name: digest_of(text.encode()) for name, text in THEIRS["files"].items()}


def test_what_model_signing_has_signed_by_a_key_is_accepted() -> None:
    signed, demand = THEIRS["signed_by_key"].encode(), Demand("key", is_key=True, pem=THEIRS["key"])
    assert judge([signed], demand, THEIR_FILES).startswith("the key sha256:")
    assert "'Z.txt' is not what was" in refusal([signed], demand, files=THEIR_FILES | {"Z.txt": digest_of(b"")})


def test_what_model_signing_has_signed_with_a_certificate_is_accepted() -> None:
    signed, demand = THEIRS["signed_with_certificate"].encode(), Demand("ca", is_key=False, pem=THEIRS["authority"])
    assert judge([signed], demand, THEIR_FILES) == "the certificate CN=release@example.com, issued by CN=Between"


def test_we_sign_what_model_signing_signs() -> None:
    theirs = json.loads(base64.b64decode(json.loads(THEIRS["signed_by_key"])["dsseEnvelope"]["payload"]))
    ours = json.loads(build_payload("model", {name: digest for name, digest in THEIR_FILES.items() if digest}))
    for statement in (theirs, ours):
        statement["predicate"]["serialization"].pop("ignore_paths")
        # It sorts by the parts of paths and the specification by characters, so the digest of the list differs.
        statement["predicate"]["resources"].sort(key=lambda resource: resource["name"])
        statement["subject"][0].pop("digest")
    assert ours == theirs
