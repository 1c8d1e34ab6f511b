"""Who has signed with a key: the right one in any of its forms, another, and one signature among several."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from signatures import a_key, by_key, fingerprint, sign_files
from signed_model import FILES, KEY, bundle, judge, refusal

from berth_store.errors import SignatureMissing
from berth_store.signing.bundle import MAX_SIGNATURES


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_a_key_of_each_curve_signs(curve: ec.EllipticCurve) -> None:
    key = a_key(3, curve)
    assert judge([sign_files(FILES, key)], by_key(key)) == f"the key sha256:{fingerprint(key)}"


def test_nobody_has_signed() -> None:
    with pytest.raises(SignatureMissing, match=f"the key sha256:{fingerprint(KEY)} has to have signed it"):
        judge([])


def test_another_key_is_told_by_its_name() -> None:
    said = refusal([sign_files(FILES, a_key(2))])
    assert f"it is signed by the key sha256:{fingerprint(a_key(2))}" in said


def test_a_hint_at_the_right_key_proves_nothing() -> None:
    forged = bundle(key=a_key(2), publicKey={"hint": fingerprint(KEY)})
    assert "somebody else has signed it" in refusal([forged])


def test_one_good_signature_of_several_is_enough() -> None:
    assert judge([b"{}", sign_files(FILES, a_key(2)), sign_files(FILES, KEY)])


def test_of_several_refusals_those_that_tell_most_are_told() -> None:
    said = refusal([b"junk", sign_files(FILES, a_key(2)), sign_files({"model.gguf": b""}, KEY)])
    assert "'config.json' is not among the files" in said
    assert "JSON" not in said
    assert fingerprint(a_key(2)) not in said


def test_not_every_signature_is_looked_at() -> None:
    assert "JSON" in refusal([b"junk"] * MAX_SIGNATURES + [sign_files(FILES, KEY)])
