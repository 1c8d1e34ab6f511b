"""Signing with a key and with a certificate, and the keys that can't."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from signatures import a_key, pem_of, private_pem, public_pem
from signed_model import BETWEEN, FILES, KEY, SIGNER, judge

from berth_api.errors import InvalidSpec
from berth_store.digest import digest_of
from berth_store.signing.sign import load_signer
from berth_store.signing.statement import build_payload


@pytest.mark.parametrize(
    ("pem", "passphrase", "says"),
    [
        (b"", None, "it can't be read as a private key"),
        (public_pem(KEY).encode(), None, "it can't be read as a private key"),
        (private_pem(KEY, b"open"), None, "the key is encrypted; set BERTH_SIGN_PASSPHRASE"),
        (private_pem(KEY, b"open"), b"shut", "it can't be read as a private key"),
        (private_pem(KEY), b"open", "the key is not encrypted; unset BERTH_SIGN_PASSPHRASE"),
        (private_pem(a_key(4, ec.SECP256K1())), None, "it is no elliptic-curve key of P-256"),
    ],
)
def test_a_key_that_can_not_sign_is_refused(pem: bytes, passphrase: bytes | None, says: str) -> None:
    with pytest.raises(InvalidSpec, match=f"^--sign-key: {says}"):
        load_signer(pem, None, passphrase=passphrase)


def test_a_certificate_of_another_key_does_not_sign() -> None:
    with pytest.raises(InvalidSpec, match=r"^--sign-certificate: its first certificate is of another key"):
        load_signer(private_pem(KEY), pem_of(BETWEEN, SIGNER).encode())
    assert load_signer(private_pem(KEY), pem_of(SIGNER, BETWEEN).encode()).name == (
        "the certificate CN=release@example.com, issued by CN=Between"
    )


def test_a_signer_knows_its_own_signatures() -> None:
    signer = load_signer(private_pem(KEY), None)
    payload = build_payload("m", {name: digest_of(content) for name, content in FILES.items()})
    made = signer.sign(payload)
    assert judge([made]) == signer.name
    assert signer.has_signed(made, payload)
    assert not signer.has_signed(made, payload + b" ")
    assert not signer.has_signed(b"junk", payload)
    assert not load_signer(private_pem(a_key(2)), None).has_signed(made, payload)
