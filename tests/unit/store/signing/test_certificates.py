"""Who has signed with a certificate: chains that lead to a trusted authority, those that don't, and names."""

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from signatures import a_certificate, a_key, an_authority, by_authority, chain_material, fingerprint
from signed_model import BETWEEN, KEY, ROOT, ROOT_KEY, SIGNER, bundle, judge, refusal


def test_a_certificate_of_the_authority_signs() -> None:
    said = judge([bundle(**chain_material(SIGNER, BETWEEN))], by_authority(ROOT))
    assert said == "the certificate CN=release@example.com, issued by CN=Between"


def test_an_authority_in_between_may_be_the_trusted_one() -> None:
    assert judge([bundle(**chain_material(SIGNER))], by_authority(BETWEEN))


CHAINS: dict[str, tuple[Callable[[], bytes], str]] = {
    "another authority": (
        lambda: bundle(
            **chain_material(a_certificate("release@example.com", KEY, "Other", a_key(95)), an_authority("Other", 95))
        ),
        "no trusted authority vouches",
    ),
    "an authority of the same name": (
        lambda: bundle(**chain_material(a_certificate("x", KEY, "Model Root", a_key(96)), an_authority(number=96))),
        "no trusted authority vouches",
    ),
    "a link is missing": (lambda: bundle(**chain_material(SIGNER)), "no trusted authority vouches"),
    "it has run out": (
        lambda: bundle(**chain_material(a_certificate("old", KEY, "Model Root", ROOT_KEY, days=(-9, -1)))),
        "CN=old, issued by CN=Model Root, which is valid from",
    ),
    "it is not valid yet": (
        lambda: bundle(**chain_material(a_certificate("young", KEY, "Model Root", ROOT_KEY, days=(1, 9)))),
        "CN=young, issued by CN=Model Root, which is valid from",
    ),
    "it is not for signing": (
        lambda: bundle(**chain_material(a_certificate("tls", KEY, "Model Root", ROOT_KEY, signs=False))),
        "is not one for signing",
    ),
    "its issuer is no authority": (
        lambda: bundle(
            **chain_material(
                a_certificate("evil", KEY, "leaf", a_key(97)), a_certificate("leaf", a_key(97), "Model Root", ROOT_KEY)
            )
        ),
        "no trusted authority vouches",
    ),
    "the authority between has run out": (
        lambda: bundle(
            **chain_material(
                SIGNER, a_certificate("Between", a_key(91), "Model Root", ROOT_KEY, authority=True, days=(-9, -1))
            )
        ),
        "no trusted authority vouches",
    ),
    "another key has signed": (
        lambda: bundle(key=a_key(2), **chain_material(SIGNER, BETWEEN)),
        "the signature is not of the certificate CN=release@example.com",
    ),
    "it can't be read": (
        lambda: bundle(x509CertificateChain={"certificates": [{"rawBytes": "AAAA"}]}),
        "can't be read",
    ),
    "no certificate": (lambda: bundle(x509CertificateChain={"certificates": []}), "it brings 0 certificates"),
    "nine certificates": (lambda: bundle(**chain_material(*[SIGNER] * 9)), "it brings 9 certificates"),
    "a key alone": (bundle, f"it is signed by the key sha256:{fingerprint(KEY)}"),
    "an identity of Sigstore": (
        lambda: bundle(certificate=chain_material(SIGNER)["x509CertificateChain"]["certificates"][0]),
        "an identity of Sigstore (the certificate CN=release@example.com, issued by CN=Between), which this version",
    ),
}


@pytest.mark.parametrize(("made", "says"), CHAINS.values(), ids=CHAINS.keys())
def test_a_certificate_that_proves_nothing_is_refused(made: Callable[[], bytes], says: str) -> None:
    assert says in refusal([made()], by_authority(ROOT))


@pytest.mark.parametrize("name", ["release@example.com", "CN=release@example.com"])
def test_of_those_whom_an_authority_knows_some_may_be_named(name: str) -> None:
    assert judge([bundle(**chain_material(SIGNER, BETWEEN))], by_authority(ROOT, "other@example.com", name))


def test_whom_nobody_named_is_told() -> None:
    said = refusal([bundle(**chain_material(SIGNER, BETWEEN))], by_authority(ROOT, "b@example.com", "a@example.com"))
    assert "a certificate of a@example.com or b@example.com that goes back to the certificate CN=Model Root" in said
    assert "it is signed by the certificate CN=release@example.com, issued by CN=Between, which is nobody's who" in said


ALTERNATIVES = (
    x509.RFC822Name("release@example.com"),
    x509.UniformResourceIdentifier("https://ci.example.com/models/release.yml"),
    x509.DNSName("build.example.com"),
)


@pytest.mark.parametrize("name", [alternative.value for alternative in ALTERNATIVES])
def test_a_signer_may_be_named_by_an_alternative_name(name: str) -> None:
    own = a_certificate("", KEY, "Model Root", ROOT_KEY, alternatives=ALTERNATIVES)
    said = judge([bundle(**chain_material(own))], by_authority(ROOT, name))
    assert said == "the certificate release@example.com, issued by CN=Model Root"


def test_beside_alternative_names_the_subject_names_nobody() -> None:
    """Some authorities check the one and let the other be whatever is asked for."""
    own = a_certificate("boss@example.com", KEY, "Model Root", ROOT_KEY, alternatives=ALTERNATIVES)
    for name in ("boss@example.com", "CN=boss@example.com"):
        assert "nobody's who may" in refusal([bundle(**chain_material(own))], by_authority(ROOT, name))


def test_a_certificate_is_not_accepted_where_a_key_is_demanded() -> None:
    said = refusal([bundle(**chain_material(SIGNER, BETWEEN))])
    assert "it is signed by the certificate CN=release@example.com, issued by CN=Between" in said


def test_a_certificate_of_another_kind_of_key_is_refused() -> None:
    curve = a_key(4, ec.SECP256K1())
    odd = a_certificate("odd", curve, "Model Root", ROOT_KEY)
    assert refusal([bundle(**chain_material(odd))], by_authority(ROOT))
