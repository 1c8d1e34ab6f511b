"""Addresses: the names of what is no whole artifact of a registry, beside `Reference`, which is the name of those.

`parse_name` reads what people and the store's index write; `source_name` what a Model's `spec.source` says. An address
is a place, the patterns of the files that are wanted of it, and perhaps the digest that they must have:

    hf://Qwen/Qwen3-8B@main
    s3://models/qwen3#*.json&*.safetensors
    https://example.com/model.gguf@sha256:…

What of the place is trusted decides which of its files are taken, so it is part of the name: `#!pickle&!code`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import quote, unquote

from berth_api.errors import FieldError, InvalidSpec
from berth_api.trust import NO_TRUST, Trust
from berth_store.digest import DIGEST_PATTERN, Digest, parse_digest
from berth_store.reference import DIGEST_FIELD, SCHEME, Reference, source_reference
from berth_store.sources.locations import BucketLocation, HubLocation, WebLocation

Location = HubLocation | WebLocation | BucketLocation | Reference
_PARSERS: dict[str, Callable[[str], HubLocation | WebLocation | BucketLocation]] = {
    "hf": HubLocation.parse,
    "https": WebLocation.parse,
    "s3": BucketLocation.parse,
}
_PINNED = re.compile(rf"(.+)@({DIGEST_PATTERN})")
_PATTERN_SAFE = "/*?[]!,+()@: "
_PICKLE, _CODE = "!pickle", "!code"


@dataclass(frozen=True)
class Address:
    """Some files of one place. `files` are sorted patterns; none means what a model needs of it.

    Pickles and Python files are taken only where they are trusted.
    """

    location: Location
    files: tuple[str, ...] = ()
    digest: Digest | None = None
    trust: Trust = NO_TRUST

    @property
    def uri(self) -> str:
        """The place."""
        if isinstance(self.location, Reference):
            return f"{SCHEME}{replace(self.location, tag=self.location.tag or 'latest', digest=None)}"
        return self.location.uri

    @property
    def key(self) -> str:
        """The name under which the store keeps it."""
        return f"{self.unpinned.key}@{self.digest}" if self.digest else f"{self.uri}{self._fragment}"

    @property
    def unpinned(self) -> Self:
        """The same files, whatever their content."""
        location = self.location
        if isinstance(location, Reference) and location.digest is not None:
            location = replace(location, tag=location.tag or "latest", digest=None)
        return replace(self, location=location, digest=None)

    @property
    def familiar(self) -> str:
        """As people write it."""
        return self.key

    @property
    def is_local(self) -> bool:
        """Whether it can only be in this machine's store."""
        return isinstance(self.location, Reference) and self.location.is_local

    @property
    def registry(self) -> str:
        """Whom to ask, for messages."""
        match self.location:
            case HubLocation():
                return "Hugging Face"
            case WebLocation():
                return self.location.host
            case BucketLocation():
                return f"the bucket {self.location.bucket}"
            case _:
                return self.location.registry

    def __str__(self) -> str:
        return self.key

    @property
    def _fragment(self) -> str:
        trusted = [word for word, is_so in ((_PICKLE, self.trust.pickle), (_CODE, self.trust.remote_code)) if is_so]
        patterns = [_quoted(pattern) for pattern in self.files]
        return f"#{'&'.join((*trusted, *patterns))}" if trusted or patterns else ""


Name = Reference | Address


def parse_name(text: str) -> Name:
    """The reference or address that `text` means. Raises InvalidSpec."""
    scheme, separator, _ = text.partition("://")
    if not separator or (scheme == "oci" and "#" not in text):
        return Reference.parse(text)
    pinned = _PINNED.fullmatch(text)
    rest, digest = (pinned[1], Digest(pinned[2])) if pinned else (text, None)
    uri, _, fragment = rest.partition("#")
    words = fragment.split("&") if fragment else []
    trust = Trust(pickle=_PICKLE in words, remote_code=_CODE in words)
    files = tuple(sorted({unquote(word) for word in words if word not in {_PICKLE, _CODE}}))
    return replace(_address(uri, files, digest), trust=trust)


def source_name(
    uri: str, digest: str | None, files: Sequence[str] = (), revision: str = "", trust: Trust = NO_TRUST
) -> Name:
    """What a Model's `spec.source` names. `revision` is the commit that was found where `uri` gives a branch.

    Of a registry's whole artifact everything is taken, whatever is trusted. Raises InvalidSpec.
    """
    scheme = uri.partition("://")[0]
    if scheme == "oci" or "://" not in uri:
        reference = source_reference(uri, digest)
        return Address(reference, _sorted(files), reference.digest, trust) if files else reference
    pinned = _PINNED.fullmatch(uri)
    rest, in_uri = (pinned[1], Digest(pinned[2])) if pinned else (uri, None)
    asked = parse_digest(digest, path=DIGEST_FIELD) if digest else None
    if asked and in_uri and asked != in_uri:
        message = f"it pins {asked}, and spec.source.uri pins {in_uri}"
        raise InvalidSpec(FieldError(DIGEST_FIELD, message, "keep one of the two"))
    found = replace(_address(rest, _sorted(files), asked or in_uri), trust=trust)
    if revision and isinstance(found.location, HubLocation):
        found = replace(found, location=found.location.at(revision))
    return found


def _address(uri: str, files: tuple[str, ...], digest: Digest | None) -> Address:
    scheme, _, rest = uri.partition("://")
    if scheme == "oci":
        reference = Reference.parse(uri)
        return Address(reference.with_digest(digest) if digest else reference, files, digest or reference.digest)
    parse = _PARSERS.get(scheme)
    if parse is None:
        known = ", ".join(f"{each}://" for each in ("oci", *_PARSERS))
        raise InvalidSpec(FieldError("reference", f"nothing is fetched from {scheme[:20]}://", f"use one of {known}"))
    return Address(parse(rest), files, digest)


def _quoted(pattern: str) -> str:
    """The pattern as a part of a fragment, in which a word that begins with `!` is one of ours."""
    quoted = quote(pattern, safe=_PATTERN_SAFE)
    return f"%21{quoted[1:]}" if quoted.startswith("!") else quoted


def _sorted(files: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(files)))
