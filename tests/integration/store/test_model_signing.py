"""OpenSSF's own program and we accept one another's signatures, and refuse the same changes."""

from pathlib import Path

import pytest
import tools
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing_program import ModelSigning
from signatures import a_key, by_authority, by_key
from signed_model import BETWEEN, KEY, ROOT, SIGNER

from berth_store.digest import Digest, digest_of
from berth_store.errors import SignatureInvalid
from berth_store.signing.check import check_signatures
from berth_store.signing.demand import Demand
from berth_store.signing.policies import build_policy
from berth_store.signing.sign import Signer
from berth_store.signing.statement import build_payload

pytestmark = [pytest.mark.needs("model-signing"), pytest.mark.model_signing]
FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "1_Pooling/config.json": b"[]",
    "1_Pooling.txt": b"sorted otherwise",
    "tökenizer file.json": b"",
    ".hidden": b"x",
}


@pytest.fixture
def program(tmp_path: Path) -> ModelSigning:
    python = tools.find("model-signing")
    assert python is not None
    made = ModelSigning(python, tmp_path)
    for name, content in FILES.items():
        made.write(name, content)
    return made


def judge(signature: bytes, demand: Demand, files: dict[str, bytes] = FILES) -> str:
    found: dict[str, Digest | None] = {name: digest_of(content) for name, content in files.items()}
    return check_signatures(build_policy(demand), [signature], found, "m", listed=found)


def ours(signer: Signer) -> bytes:
    return signer.sign(build_payload("model", {name: digest_of(content) for name, content in FILES.items()}))


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_by_a_key(program: ModelSigning, curve: ec.EllipticCurve) -> None:
    key = a_key(1, curve)
    assert judge(program.sign(key), by_key(key))
    assert program.verify_key(ours(Signer(key)), key) == ""


def test_with_a_certificate(program: ModelSigning) -> None:
    assert judge(program.sign(KEY, SIGNER, BETWEEN), by_authority(ROOT))
    assert program.verify_certificate(ours(Signer(KEY, (SIGNER, BETWEEN))), ROOT) == ""


@pytest.mark.parametrize(
    "files",
    [FILES | {"extra.py": b""}, FILES | {"config.json": b"{ }"}, {**FILES, "sub/.gitignore": b""}],
    ids=["extra", "changed", "git below"],
)
def test_both_refuse_what_was_changed(program: ModelSigning, files: dict[str, bytes]) -> None:
    theirs, mine = program.sign(KEY), ours(Signer(KEY))
    for name, content in files.items():
        program.write(name, content)
    assert "Signature mismatch" in program.verify_key(mine, KEY)
    with pytest.raises(SignatureInvalid):
        judge(theirs, by_key(KEY), files)


def test_both_pass_over_what_the_signer_left_out_and_what_is_gits(program: ModelSigning) -> None:
    program.write("notes/today.txt", b"x")
    signature = program.sign(KEY, ignored=("notes",))
    more = {"notes/today.txt": b"y", ".gitattributes": b"z"}
    for name, content in more.items():
        program.write(name, content)
    assert judge(signature, by_key(KEY), FILES | more)
    assert program.verify_key(signature, KEY) == ""


def test_both_refuse_another_key(program: ModelSigning) -> None:
    assert "Key mismatch" in program.verify_key(ours(Signer(a_key(2))), KEY)
    with pytest.raises(SignatureInvalid):
        judge(program.sign(a_key(2)), by_key(KEY))
