"""Who has signed what: bundles that strangers wrote, keys, authorities, and the list of files."""

import argparse
import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tools
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from signatures import (
    Key,
    a_bundle,
    a_certificate,
    a_key,
    a_statement,
    an_authority,
    by_authority,
    by_key,
    chain_material,
    fingerprint,
    pem_of,
    private_pem,
    public_pem,
    sign_files,
)

from berth_api.errors import InvalidSpec
from berth_store.digest import Digest, digest_of
from berth_store.errors import SignatureInvalid, SignatureMissing
from berth_store.signing.bundle import (
    MAX_BUNDLE_BYTES,
    MAX_SIGNATURES,
    UnusableSignatureError,
    parse_bundle,
    render_bundle,
)
from berth_store.signing.check import check_signatures
from berth_store.signing.demand import Demand
from berth_store.signing.options import add_options, read_demand
from berth_store.signing.policies import MAX_PEM_BYTES, build_policy
from berth_store.signing.sign import load_signer
from berth_store.signing.statement import build_payload, parse_statement

FILES = {"config.json": b"{}", "model.safetensors": b"weights", "nested/tokenizer.json": b"[]"}
DIGESTS: dict[str, Digest | None] = {name: digest_of(content) for name, content in FILES.items()}
KEY = a_key()
Json = dict[str, Any]


def judge(
    signatures: list[bytes], demand: Demand | None = None, files: dict[str, Digest | None] | None = None, **more: Any
) -> str:
    found = DIGESTS if files is None else files
    listed = more.get("listed", found)
    return check_signatures(build_policy(demand or by_key(KEY)), signatures, found, "oci://r/m", listed=listed)


def refusal(signatures: list[bytes], demand: Demand | None = None, **more: Any) -> str:
    with pytest.raises(SignatureInvalid) as refused:
        judge(signatures, demand, **more)
    return str(refused.value)


def bundle(statement: Json | None = None, key: Key = KEY, **material: Any) -> bytes:
    payload = json.dumps(a_statement(FILES) if statement is None else statement).encode()
    return json.dumps(a_bundle(payload, key, **material)).encode()


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_a_key_of_each_curve_signs(curve: ec.EllipticCurve) -> None:
    key = a_key(3, curve)
    assert judge([sign_files(FILES, key)], by_key(key)) == f"the key sha256:{fingerprint(key)}"


def test_nobody_has_signed() -> None:
    with pytest.raises(SignatureMissing, match=f"the key sha256:{fingerprint(KEY)} has to have signed it"):
        judge([])


def test_a_file_that_was_changed_is_named() -> None:
    said = refusal([sign_files(FILES, KEY)], files=DIGESTS | {"config.json": digest_of(b"{ }")})
    assert f"'config.json' is not what was signed: it has the digest {digest_of(b'{ }')}" in said


def test_a_file_that_nobody_signed_is_named() -> None:
    assert "'evil.py' is not among the files" in refusal(
        [sign_files(FILES, KEY)], files=DIGESTS | {"evil.py": digest_of(b"")}
    )


def test_a_file_that_is_gone_is_named() -> None:
    left = {name: digest for name, digest in DIGESTS.items() if name != "config.json"}
    assert "'config.json' was signed and is not there" in refusal([sign_files(FILES, KEY)], files=left)
    assert judge([sign_files(FILES, KEY)], files=left, listed=DIGESTS), "it is there, and not used"


def test_a_digest_that_is_not_known_yet_does_not_hide_what_nobody_signed() -> None:
    unknown: dict[str, Digest | None] = dict.fromkeys(FILES)
    assert judge([sign_files(FILES, KEY)], files=unknown)
    assert "'evil.py' is not among" in refusal([sign_files(FILES, KEY)], files=unknown | {"evil.py": None})


def test_the_signature_of_another_model_is_none_of_this_one() -> None:
    assert "is not what was signed" in refusal([sign_files(FILES | {"config.json": b"other"}, KEY)])


def test_another_key_is_told_by_its_name() -> None:
    said = refusal([sign_files(FILES, a_key(2))])
    assert f"it is signed by the key sha256:{fingerprint(a_key(2))}" in said


def test_a_hint_at_the_right_key_proves_nothing() -> None:
    forged = bundle(key=a_key(2), publicKey={"hint": fingerprint(KEY)})
    assert "somebody else has signed it" in refusal([forged])


def test_bundles_of_before_2025_have_no_hint_and_are_accepted() -> None:
    assert judge([bundle(publicKey={"rawBytes": "AAAA", "keyDetails": "PKIX_ECDSA_P256_SHA_256"})])


def test_one_good_signature_of_several_is_enough() -> None:
    assert judge([b"{}", sign_files(FILES, a_key(2)), sign_files(FILES, KEY)])


def test_of_several_refusals_those_that_tell_most_are_told() -> None:
    said = refusal([b"junk", sign_files(FILES, a_key(2)), sign_files({"model.gguf": b""}, KEY)])
    assert "'config.json' is not among the files" in said
    assert "JSON" not in said
    assert fingerprint(a_key(2)) not in said


def test_not_every_signature_is_looked_at() -> None:
    assert "JSON" in refusal([b"junk"] * MAX_SIGNATURES + [sign_files(FILES, KEY)])


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


STATEMENTS: dict[str, tuple[Callable[[Json], object], str]] = {
    "another statement": (lambda one: one.update(_type="https://in-toto.io/Statement/v0.1"), "its `_type` is not"),
    "provenance": (lambda one: one.update(predicateType="https://slsa.dev/provenance/v1"), "`predicateType` is not"),
    "the form of 0.2": (
        lambda one: one.update(predicateType="https://model_signing/Digests/v0.1"),
        "`predicateType` is not",
    ),
    "shards": (lambda one: one["predicate"]["serialization"].update(method="shards", shard_size=10), "hashed whole"),
    "another hash": (lambda one: one["predicate"]["serialization"].update(hash_type="blake3"), "hashed whole"),
    "a weaker hash for one file": (
        lambda one: one["predicate"]["resources"][0].update(algorithm="md5", digest="0" * 32),
        "no sha256 for the file 'config.json'",
    ),
    "a digest in capitals": (
        lambda one: one["predicate"]["resources"][0].update(digest="A" * 64),
        "no sha256 for the file 'config.json'",
    ),
    "no files": (lambda one: one["predicate"].update(resources=[]), "list no file"),
    "no serialization": (lambda one: one["predicate"].pop("serialization"), "`serialization` is no object"),
    "a file twice": (
        lambda one: one["predicate"]["resources"].append(one["predicate"]["resources"][0] | {"digest": "0" * 64}),
        "is signed twice",
    ),
    "a path that leads up": (
        lambda one: one["predicate"]["resources"][0].update(name="../config.json"),
        "a file that no model can have: '../config.json'",
    ),
    "a path that is a number": (lambda one: one["predicate"]["resources"][0].update(name=7), "no model can have: '7'"),
    "another root": (lambda one: one["subject"][0]["digest"].update(sha256="0" * 64), "its `subject` is not"),
    "two subjects": (lambda one: one.update(subject=one["subject"] * 2), "its `subject` is not"),
    "no subject": (lambda one: one.pop("subject"), "its `subject` is not"),
    "a list": (lambda one: one.update(predicate=[]), "its `predicate` is no object"),
}


@pytest.mark.parametrize(("change", "says"), STATEMENTS.values(), ids=STATEMENTS.keys())
def test_what_is_signed_well_and_is_no_list_of_files_is_refused(change: Callable[[Json], object], says: str) -> None:
    statement = copy.deepcopy(a_statement(FILES))
    change(statement)
    assert says in refusal([bundle(statement)])


def test_what_belongs_to_git_and_the_signature_need_not_be_signed() -> None:
    beside = ("model.sig", ".gitattributes", ".github/workflows/x.yml", ".git/config", ".gitignore")
    assert judge([sign_files(FILES, KEY)], files=DIGESTS | dict.fromkeys(beside, digest_of(b"x")))
    for name in ("nested/.gitattributes", "nested/model.sig", ".gitmodules", "Model.sig"):
        assert "is not among the files" in refusal([sign_files(FILES, KEY)], files=DIGESTS | {name: digest_of(b"x")})


def test_what_the_signer_left_out_need_not_be_signed() -> None:
    signed = bundle(a_statement(FILES, serialization={"ignore_paths": ["README.md", "runs"]}))
    left_out: dict[str, Digest | None] = {"README.md": digest_of(b"x"), "runs/1/log": digest_of(b"y")}
    assert judge([signed], files=DIGESTS | left_out)
    for name in ("runs2", "nested/runs", "README.md.py"):
        assert "is not among the files" in refusal([signed], files=DIGESTS | {name: digest_of(b"x")})


@pytest.mark.parametrize("path", [".", "", "/", "*", "..", "./evil.py", "evil.py/", 7, None])
def test_a_path_that_is_none_leaves_nothing_out(path: object) -> None:
    signed = bundle(a_statement(FILES, serialization={"ignore_paths": [path]}))
    assert "'evil.py' is not among" in refusal([signed], files=DIGESTS | {"evil.py": digest_of(b"x")})


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


def test_as_many_files_as_an_archive_may_have_can_be_signed() -> None:
    files = {f"a/rather/long/folder/of/files/file-{number:05}.json": b"%d" % number for number in range(10_000)}
    digests: dict[str, Digest | None] = {name: digest_of(content) for name, content in files.items()}
    assert judge([sign_files(files, KEY)], files=digests)


def test_the_same_files_make_the_same_payload_in_any_order() -> None:
    known = {name: digest_of(content) for name, content in FILES.items()}
    payload = build_payload("model", known | {"model.sig": digest_of(b"x")})
    assert payload == build_payload("model", dict(reversed(known.items())))
    assert parse_statement(payload).files == known
    assert json.loads(payload)["subject"] == a_statement(FILES)["subject"]


def test_a_bundle_is_read_as_it_was_written() -> None:
    for made in (parse_bundle(bundle()), parse_bundle(bundle(**chain_material(an_authority())))):
        assert parse_bundle(render_bundle(made)) == made


# Certificates

ROOT, ROOT_KEY = an_authority(), a_key(90)
BETWEEN = a_certificate("Between", a_key(91), "Model Root", ROOT_KEY, authority=True)
SIGNER = a_certificate("release@example.com", KEY, "Between", a_key(91))


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


# Demands


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


# Signing


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


# What `model_signing` has written, kept as it was: `make nightly` asks the program itself, and whether it accepts ours.

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
