"""What is signed is a list of files: what is there is compared with it, and what is no such list is refused."""

import copy
import json
from collections.abc import Callable

import pytest
from signatures import a_statement, sign_files
from signed_model import DIGESTS, FILES, KEY, Json, bundle, judge, refusal

from berth_store.digest import Digest, digest_of
from berth_store.signing.statement import build_payload, parse_statement


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


def test_as_many_files_as_an_archive_may_have_can_be_signed() -> None:
    files = {f"a/rather/long/folder/of/files/file-{number:05}.json": b"%d" % number for number in range(10_000)}
    digests: dict[str, Digest | None] = {name: digest_of(content) for name, content in files.items()}
    assert judge([sign_files(files, KEY)], files=digests)


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


def test_the_same_files_make_the_same_payload_in_any_order() -> None:
    known = {name: digest_of(content) for name, content in FILES.items()}
    payload = build_payload("model", known | {"model.sig": digest_of(b"x")})
    assert payload == build_payload("model", dict(reversed(known.items())))
    assert parse_statement(payload).files == known
    assert json.loads(payload)["subject"] == a_statement(FILES)["subject"]
