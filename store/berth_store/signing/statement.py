"""What was signed: the list of a model's files with their digests, as an in-toto statement. Pure.

`parse_statement` is only called with bytes whose signature was found good. The rules for paths and what need not be
signed are those of the specification, sections 6.1.2, 6.2 and 8.4.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from berth_store.digest import Digest, hex_of
from berth_store.headers.bounded_json import Json
from berth_store.manifest import canonical_json
from berth_store.names import name_fault
from berth_store.signing.bundle import SIGNATURE_NAME, UnusableSignatureError, as_object, parse_signed_json

PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
_STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_DEFAULT_IGNORED: Final = (".git", ".gitattributes", ".github", ".gitignore")
_MAX_QUOTED: Final = 200
_LIES: Final = 2
"""The rank of a signature by the right signer whose list is not that of the files."""


@dataclass(frozen=True)
class Statement:
    """Signed files by name, and the paths that their signer left out."""

    files: Mapping[str, Digest]
    ignored: frozenset[str] = frozenset()

    def check(self, files: Mapping[str, Digest | None], listed: Collection[str] | None) -> None:
        """Raise UnusableSignatureError unless `files` are what was signed, and all that was signed is among `listed`.

        `files` are those that are used, of which a digest may not be known yet; `listed` all that the source has, or
        None where that is not asked.
        """
        for name, digest in sorted(files.items()):
            if is_left_out(name, self.ignored):
                continue
            signed = self.files.get(name)
            if signed is None:
                raise UnusableSignatureError(
                    f"the file {_quoted(name)} is not among the files that were signed", rank=_LIES
                )
            if digest is not None and digest != signed:
                raise UnusableSignatureError(
                    f"the file {_quoted(name)} is not what was signed: it has the digest {digest}, and signed was "
                    f"{signed}",
                    rank=_LIES,
                )
        missing = next((name for name in sorted(self.files) if listed is not None and name not in listed), None)
        if missing is not None:
            raise UnusableSignatureError(f"the file {_quoted(missing)} was signed and is not there", rank=_LIES)


def parse_statement(payload: bytes) -> Statement:
    """The list in a payload. Raises UnusableSignatureError."""
    statement = as_object(parse_signed_json(payload, "what was signed"), "what was signed")
    for field, wanted in (("_type", _STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if statement.get(field) != wanted:
            raise UnusableSignatureError(
                f"what was signed is no list of a model's files: its `{field}` is not {wanted}"
            )
    predicate = as_object(statement.get("predicate"), "its `predicate`")
    serialization = as_object(predicate.get("serialization"), "its `serialization`")
    if serialization.get("method") != "files" or serialization.get("hash_type") != "sha256":
        raise UnusableSignatureError(
            "its files were not hashed whole by sha256; sign with the method `files` and the hash `sha256`"
        )
    resources = predicate.get("resources")
    if not isinstance(resources, list) or not resources:
        raise UnusableSignatureError("its `resources` list no file")
    files: dict[str, Digest] = {}
    for resource in resources:
        name, digest = _resource(as_object(resource, "an entry of its `resources`"))
        if files.setdefault(name, digest) is not digest:
            raise UnusableSignatureError(f"the file {_quoted(name)} is signed twice")
    _check_subject(statement.get("subject"), root_digest(files.values()))
    return Statement(files, frozenset(_ignored(serialization.get("ignore_paths"))))


def build_payload(name: str, files: Mapping[str, Digest]) -> bytes:
    """The bytes to sign for the files of a model called `name`, of which there is at least one; the same for the same
    files.
    """
    signed = {path: files[path] for path in sorted(files) if not is_left_out(path)}
    resources = [{"name": path, "algorithm": "sha256", "digest": hex_of(digest)} for path, digest in signed.items()]
    return canonical_json(
        {
            "_type": _STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": root_digest(signed.values())}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": [SIGNATURE_NAME, *_DEFAULT_IGNORED],
                },
                "resources": resources,
            },
        }
    )


def is_left_out(name: str, ignored: Collection[str] = ()) -> bool:
    """Whether a file need not be signed: it is a signature, belongs to git, or its signer left it out."""
    if name == SIGNATURE_NAME or name.partition("/")[0] in _DEFAULT_IGNORED:
        return True
    parts = name.split("/")
    return any("/".join(parts[:count]) in ignored for count in range(1, len(parts) + 1))


def root_digest(digests: Collection[Digest]) -> str:
    """The sha256 over the files' digests in their order, in hexadecimal digits."""
    return hashlib.sha256(b"".join(bytes.fromhex(hex_of(digest)) for digest in digests)).hexdigest()


def _resource(entry: Mapping[str, Json]) -> tuple[str, Digest]:
    name, algorithm, digits = entry.get("name"), entry.get("algorithm"), entry.get("digest")
    if not isinstance(name, str) or name_fault(name) is not None:
        raise UnusableSignatureError(f"it lists a file that no model can have: {_quoted(str(name))}")
    if algorithm != "sha256" or not isinstance(digits, str) or not _is_hex(digits):
        raise UnusableSignatureError(f"it has no sha256 for the file {_quoted(name)}")
    return name, Digest(f"sha256:{digits}")


def _check_subject(subject: Json, wanted: str) -> None:
    entry = subject[0] if isinstance(subject, list) and len(subject) == 1 else None
    digest = entry.get("digest") if isinstance(entry, Mapping) else None
    if not isinstance(digest, Mapping) or digest.get("sha256") != wanted:
        raise UnusableSignatureError("its `subject` is not the digest of the files that it lists")


def _ignored(paths: Json) -> list[str]:
    """The paths that were left out, by their canonical names; any other form names nothing."""
    found = [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []
    return [path for path in found if name_fault(path) is None]


def _is_hex(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _quoted(name: str) -> str:
    return repr(name[:_MAX_QUOTED])
