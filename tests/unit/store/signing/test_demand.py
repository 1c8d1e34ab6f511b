"""Whose signature is demanded: keys and authorities as a Model, a file and a command line give them."""

import argparse
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from signatures import Key, a_key, by_authority, by_key, pem_of, public_pem
from signed_model import KEY, ROOT

from berth_api.errors import InvalidSpec
from berth_store.signing.demand import Demand
from berth_store.signing.options import add_options, read_demand
from berth_store.signing.policies import MAX_PEM_BYTES, build_policy


def pem_of_key(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | Key) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        pem_of_key(ed25519.Ed25519PrivateKey.from_private_bytes(b"1" * 32)),
        pem_of_key(a_key(4, ec.SECP256K1())),
        pem_of(ROOT),
    ],
    ids=["nothing", "damaged", "ed25519", "another curve", "a certificate"],
)
def test_a_key_that_can_not_verify_is_an_error_of_its_field(pem: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^spec\.source\.signature\.key\.pem: "):
        build_policy(Demand("spec.source.signature.key.pem", is_key=True, pem=pem))


@pytest.mark.parametrize("pem", ["", public_pem(KEY), pem_of(*[ROOT] * 17)], ids=["nothing", "a key", "too many"])
def test_authorities_that_are_none_are_an_error_of_their_field(pem: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^spec\.source\.signature\.certificate\.pem: "):
        build_policy(Demand("spec.source.signature.certificate.pem", is_key=False, pem=pem))


def test_a_file_that_is_not_there_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    demand = read_demand(parser.parse_args([f"--signed-by-authority={tmp_path / 'ca.pem'}"]))
    assert demand is not None
    with pytest.raises(InvalidSpec, match=r"certificate\.configMapRef: there is no .*ca\.pem; make the ConfigMap"):
        build_policy(demand)
    (tmp_path / "ca.pem").write_bytes(b"-" * (MAX_PEM_BYTES + 1))
    with pytest.raises(InvalidSpec, match="more than"):
        build_policy(demand)


def test_who_has_to_have_signed_is_told_once() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--signed-by-key=k", "--signed-by-authority=a"])
    assert read_demand(parser.parse_args([])) is None
    assert read_demand(parser.parse_args([f"--signed-by-key={public_pem(KEY)}"])) == by_key(KEY)
    words = [f"--signed-by-authority={pem_of(ROOT)}", "--signer=-a", "--signer=b"]
    assert read_demand(parser.parse_args(words)) == by_authority(ROOT, "-a", "b")
