"""A signature as strangers write it: what is no bundle, and envelopes in which one thing is wrong."""

import base64
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signatures import a_bundle, a_statement, an_authority, chain_material
from signed_model import FILES, KEY, Json, bundle, judge, refusal

from berth_store.signing.bundle import MAX_BUNDLE_BYTES, UnusableSignatureError, parse_bundle, render_bundle


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"\xff\xfe", b"{" * 10_000, b'{"a":1,"a":2}', b'"' * 5000])
def test_what_is_no_bundle_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableSignatureError):
        parse_bundle(content)


def test_a_bundle_that_is_too_large_is_not_parsed() -> None:
    with pytest.raises(UnusableSignatureError, match=f"more than {MAX_BUNDLE_BYTES:,} bytes"):
        parse_bundle(b" " * (MAX_BUNDLE_BYTES + 1))
    with pytest.raises(UnusableSignatureError, match="values"):
        parse_bundle(b'{"mediaType": [' + b"0," * (1 << 18) + b"0]}")


@settings(max_examples=40)
@given(
    st.binary(max_size=100)
    | st.recursive(st.none() | st.text(max_size=5) | st.integers(), st.lists, max_leaves=5).map(json.dumps)
)
def test_any_bytes_are_a_bundle_or_refused(content: bytes | str) -> None:
    with pytest.raises(UnusableSignatureError):
        parse_bundle(content if isinstance(content, bytes) else content.encode())


def test_a_bundle_is_read_as_it_was_written() -> None:
    for made in (parse_bundle(bundle()), parse_bundle(bundle(**chain_material(an_authority())))):
        assert parse_bundle(render_bundle(made)) == made


def test_bundles_of_before_2025_have_no_hint_and_are_accepted() -> None:
    assert judge([bundle(publicKey={"rawBytes": "AAAA", "keyDetails": "PKIX_ECDSA_P256_SHA_256"})])


def changed(change: Callable[[Json], object]) -> bytes:
    """A good signature with one thing changed around what is signed."""
    whole = json.loads(bundle())
    change(whole)
    return json.dumps(whole).encode()


ENVELOPES: dict[str, Callable[[Json], object]] = {
    "another media type": lambda one: one.update(mediaType="application/json"),
    "no envelope": lambda one: one.pop("dsseEnvelope"),
    "a message signature": lambda one: one.update(messageSignature=one.pop("dsseEnvelope")),
    "another payload type": lambda one: one["dsseEnvelope"].update(payloadType="text/plain"),
    "no signature": lambda one: one["dsseEnvelope"].update(signatures=[]),
    "two signatures": lambda one: one["dsseEnvelope"].update(signatures=one["dsseEnvelope"]["signatures"] * 2),
    "a signature that is none": lambda one: one["dsseEnvelope"]["signatures"][0].update(sig="AAAA"),
    "a signature of nothing": lambda one: one["dsseEnvelope"]["signatures"][0].update(sig=""),
    "a payload that is no base64": lambda one: one["dsseEnvelope"].update(payload="{}"),
    "another payload": lambda one: one["dsseEnvelope"].update(payload=base64.b64encode(b"{}").decode()),
    "no material": lambda one: one.pop("verificationMaterial"),
    "two ways to know the signer": lambda one: one["verificationMaterial"].update(certificate={"rawBytes": "AAAA"}),
    "no way to know the signer": lambda one: one["verificationMaterial"].pop("publicKey"),
    "a hint that is a list": lambda one: one["verificationMaterial"].update(publicKey={"hint": ["x"]}),
    "a hint that writes to the terminal": lambda one: one["verificationMaterial"].update(publicKey={"hint": "\x1b[2J"}),
    "a list": lambda one: one.update(dsseEnvelope=[]),
}


@pytest.mark.parametrize("change", ENVELOPES.values(), ids=ENVELOPES.keys())
def test_an_envelope_that_is_wrong_is_refused(change: Callable[[Json], object]) -> None:
    assert refusal([changed(change)])


def test_a_signature_over_another_payload_type_is_none_over_this() -> None:
    """The type is among the signed bytes, so an attestation of another kind can't be passed off as a list of files."""
    whole = a_bundle(json.dumps(a_statement(FILES)).encode(), KEY, payload_type="application/vnd.other+json")
    whole["dsseEnvelope"]["payloadType"] = "application/vnd.in-toto+json"
    assert "is not of the key" in refusal([json.dumps(whole).encode()])
