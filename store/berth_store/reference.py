"""References: how people and manifests name an artifact, `host[:port]/repository[:tag][@sha256:…]`.

The grammar is that of the OCI distribution specification and of `distribution/reference`. Whoever reads a name from a
user calls `Reference.parse`; everything inside passes `Reference` values. What is left out is filled in as Docker
Model Runner does:

- the scheme `oci://` may stand in front;
- the first part is a host if it has a dot or a colon, or is `localhost`; otherwise the host is `docker.io`;
- on `docker.io`, a repository of one part lies in the namespace `ai`: `smollm2` is `docker.io/ai/smollm2`;
- without tag and digest the tag is `latest`; where both stand, the digest decides and the tag is a comment;
- the host `localhost` without a port is this machine's store and nothing else, as with podman: no registry is asked.

Hosts are compared in lower case. Repositories must be written in lower case: a name is refused, never quietly changed.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from berth_api.errors import FieldError, InvalidSpec
from berth_store.digest import Digest, parse_digest

SCHEME = "oci://"
DEFAULT_HOST = "docker.io"
DEFAULT_NAMESPACE = "ai"
DEFAULT_TAG = "latest"
LOCAL_HOST = "localhost"
DIGEST_FIELD = "spec.source.digest"
MAX_NAME_LENGTH = 255
TAG_RULE = "use at most 128 letters, digits, '_', '.' and '-', the first no '.' or '-'"

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\]")
_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(frozen=True)
class Reference:
    """One artifact by name. At least one of `tag` and `digest` is set; `str()` is the canonical form."""

    host: str
    repository: str
    port: int | None = None
    tag: str | None = None
    digest: Digest | None = None

    def __post_init__(self) -> None:
        errors = tuple(_wrong(part, value, remedy) for holds, part, value, remedy in _rules(self) if not holds)
        if errors:
            raise InvalidSpec(*errors)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reference that `text` means, filled in as the module says; InvalidSpec says what is wrong with it."""
        rest = text.removeprefix(SCHEME)
        if "://" in rest:
            raise InvalidSpec(
                FieldError("reference", f"{text[:100]!r} is not an OCI reference", f"write {SCHEME}host/name:tag")
            )
        rest, at, digest = rest.partition("@")
        pinned = parse_digest(digest, path="reference digest") if at else None
        rest, tag = _split_tag(rest)
        if not rest:
            raise InvalidSpec(FieldError("reference", f"{text[:100]!r} names nothing", "write host/name:tag"))
        if at == "" and tag is None:
            tag = DEFAULT_TAG
        host, port, repository = _split_host(rest)
        return cls(host=host, port=port, repository=repository, tag=tag, digest=pinned)

    @property
    def registry(self) -> str:
        """`host[:port]`: whose credentials apply, and whom to ask."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def name(self) -> str:
        """Everything before tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def is_local(self) -> bool:
        """True for names that live in this machine's store only."""
        return self.host == LOCAL_HOST and self.port is None

    @property
    def identifier(self) -> str:
        """What a registry is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def key(self) -> str:
        """The name under which the store keeps it: with the digest if it is pinned, else with the tag."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"

    @property
    def familiar(self) -> str:
        """The shortest form that means the same, for tables: `smollm2` for `docker.io/ai/smollm2:latest`."""
        name = self.name
        if self.host == DEFAULT_HOST and self.port is None and not _looks_like_host(self.repository.partition("/")[0]):
            name = (
                self.repository.removeprefix(f"{DEFAULT_NAMESPACE}/")
                if self._is_in_default_namespace()
                else self.repository
            )
        tag = "" if self.tag is None or (self.tag == DEFAULT_TAG and self.digest is None) else f":{self.tag}"
        return f"{name}{tag}{self._at_digest()}"

    def with_digest(self, digest: Digest) -> Self:
        """The same name, pinned."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return f"{self.name}{tag}{self._at_digest()}"

    def _at_digest(self) -> str:
        return "" if self.digest is None else f"@{self.digest}"

    def _is_in_default_namespace(self) -> bool:
        namespace, slash, rest = self.repository.partition("/")
        return bool(slash) and namespace == DEFAULT_NAMESPACE and "/" not in rest


def source_reference(uri: str, digest: str | None) -> Reference:
    """The reference of a Model's `spec.source`: its `oci://` address, pinned if `spec.source.digest` pins it."""
    reference = Reference.parse(uri)
    if digest is None:
        return reference
    pinned = parse_digest(digest, path=DIGEST_FIELD)
    if reference.digest not in {None, pinned}:
        message = f"it pins {pinned}, and spec.source.uri pins {reference.digest}"
        raise InvalidSpec(FieldError(DIGEST_FIELD, message, "keep one of the two"))
    return reference.with_digest(pinned)


def _split_tag(text: str) -> tuple[str, str | None]:
    """Name and tag; a colon before the last slash belongs to a port."""
    head, slash, last = text.rpartition("/")
    name, colon, tag = last.partition(":")
    return f"{head}{slash}{name}", tag if colon else None


def _split_host(name: str) -> tuple[str, int | None, str]:
    first, slash, rest = name.partition("/")
    if not slash or not _looks_like_host(first):
        return DEFAULT_HOST, None, _with_namespace(name)
    host, port = _split_port(first.lower())
    return host, port, _with_namespace(rest) if host == DEFAULT_HOST else rest


def _looks_like_host(first: str) -> bool:
    return "." in first or ":" in first or first.lower() == LOCAL_HOST


def _with_namespace(repository: str) -> str:
    return repository if "/" in repository else f"{DEFAULT_NAMESPACE}/{repository}"


def _split_port(text: str) -> tuple[str, int | None]:
    if text.endswith("]"):
        return text, None
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, None
    if _PORT.fullmatch(port) is None:
        raise InvalidSpec(_wrong("port", port, "write a port from 1 to 65535"))
    return host, int(port)


def _is_host(host: str) -> bool:
    if _HOST.fullmatch(host) is None:
        return False
    if not host.startswith("["):
        return True
    try:
        return str(ipaddress.IPv6Address(host[1:-1])) == host[1:-1]
    except ValueError:
        return False


def _rules(reference: Reference) -> Iterator[tuple[bool, str, str, str]]:
    """Every rule of the grammar: whether it holds, for which part, its value, and what would be right."""
    host, port, repository, tag = reference.host, reference.port, reference.repository, reference.tag
    yield _is_host(host), "host", host, "write a host name such as ghcr.io"
    yield port is None or 0 < port < 65536, "port", str(port), "write a port from 1 to 65535"
    yield _REPOSITORY.fullmatch(repository) is not None, "repository", repository, _repair(repository)
    yield tag is None or _TAG.fullmatch(tag) is not None, "tag", str(tag), TAG_RULE
    yield (tag or reference.digest) is not None, "name", reference.name, "add a tag or a digest"
    yield len(reference.name) <= MAX_NAME_LENGTH, "name", reference.name, f"use at most {MAX_NAME_LENGTH} characters"


def _wrong(part: str, value: str, remedy: str) -> FieldError:
    return FieldError(f"reference {part}", f"{value[:100]!r} can't stand there", remedy)


def _repair(repository: str) -> str:
    rules = "use lower-case letters and digits, joined by '/', '-', '_' or '.'"
    lowered = repository.lower()
    return f"did you mean {lowered!r}?" if lowered != repository and _REPOSITORY.fullmatch(lowered) else rules
