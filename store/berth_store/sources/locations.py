"""The places that `hf://`, `https://` and `s3://` addresses mean: their grammar, as values. No IO.

- `hf://organisation/model[@revision][:quantisation]`: a repository of Hugging Face at a branch, tag or commit (`main`
  if it is left out), and of several GGUF files the one with this quantisation;
- `https://host[:port]/path/file`: one file;
- `s3://bucket/prefix`: every object below the prefix, or the one object of that very name.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from yarl import URL

from berth_api.errors import FieldError, InvalidSpec

FIELD = "source"
DEFAULT_REVISION = "main"
_HUB_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_HUB_ID = re.compile(rf"{_HUB_PART}(?:/{_HUB_PART})?")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]{0,254}")
_QUANTIZATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
MAX_KEY_BYTES = 1024


@dataclass(frozen=True)
class HubLocation:
    """A repository of Hugging Face."""

    id: str
    revision: str = DEFAULT_REVISION
    quantization: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """What follows `hf://`. Raises InvalidSpec."""
        name, at, rest = text.partition("@")
        name, colon, quantization = name.partition(":") if not at else (name, "", "")
        revision = DEFAULT_REVISION
        if at:
            revision, colon, quantization = rest.partition(":")
        for holds, part, value, remedy in (
            (
                _HUB_ID.fullmatch(name) and ".." not in name and "--" not in name,
                "repository",
                name,
                "write hf://organisation/model",
            ),
            (
                _REVISION.fullmatch(revision) and ".." not in revision,
                "revision",
                revision,
                "write a branch, tag or commit after the @, and a quantisation after that: hf://org/model@main:Q4_K_M",
            ),
            (
                not colon or _QUANTIZATION.fullmatch(quantization),
                "quantisation",
                quantization,
                "write one such as Q4_K_M after the colon",
            ),
        ):
            if not holds:
                raise _wrong(f"hf:// {part}", value, remedy)
        return cls(name, revision, quantization.upper())

    @property
    def uri(self) -> str:
        """The canonical address."""
        revision = "" if self.revision == DEFAULT_REVISION else f"@{self.revision}"
        return f"hf://{self.id}{revision}{f':{self.quantization}' if self.quantization else ''}"

    @property
    def is_commit(self) -> bool:
        """Whether the revision stays what it is."""
        return _COMMIT.fullmatch(self.revision) is not None

    def at(self, commit: str) -> Self:
        """The same repository at a commit. Raises InvalidSpec if that is none."""
        if _COMMIT.fullmatch(commit) is None:
            raise InvalidSpec(FieldError("revision", f"{commit[:100]!r} is no commit", "write its 40 digits 0-9a-f"))
        return replace(self, revision=commit)


@dataclass(frozen=True)
class WebLocation:
    """One file on a web server."""

    url: URL

    @classmethod
    def parse(cls, text: str) -> Self:
        """What follows `https://`. Raises InvalidSpec."""
        try:
            url = URL(f"https://{text}")
            port = url.explicit_port
        except ValueError:
            url, port = URL(), None
        if url.host is None or port == 0 or "\\" in text:
            raise _wrong("https:// address", text, "write https://host/path/model.gguf")
        if url.raw_user is not None or url.raw_password is not None:
            remedy = "put the password into a Secret with the keys host, username and password"
            raise InvalidSpec(FieldError(FIELD, "everyone who reads it could read its password", remedy))
        if "#" in text:
            raise _wrong("https:// address", text, "leave out what follows the `#`, which no server is told")
        if not url.name:
            raise _wrong("https:// address", text, "name one file, such as https://host/path/model.gguf")
        return cls(url)

    @property
    def uri(self) -> str:
        """The canonical address."""
        return str(self.url)

    @property
    def host(self) -> str:
        """`host[:port]`."""
        return self.url.raw_authority


@dataclass(frozen=True)
class BucketLocation:
    """The objects of a bucket whose keys begin with a prefix."""

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """What follows `s3://`. Raises InvalidSpec."""
        bucket, _, prefix = text.partition("/")
        if _BUCKET.fullmatch(bucket) is None or ".." in bucket:
            raise _wrong("s3:// bucket", bucket, "write s3://bucket/folder, with the bucket's own name")
        prefix = prefix.strip("/")
        if len(prefix.encode()) > MAX_KEY_BYTES or any(part in {"", ".", ".."} for part in prefix.split("/") if prefix):
            raise _wrong("s3:// prefix", prefix, "write the keys' common beginning, such as models/qwen3")
        return cls(bucket, prefix)

    @property
    def uri(self) -> str:
        """The canonical address."""
        return f"s3://{self.bucket}{f'/{self.prefix}' if self.prefix else ''}"


def _wrong(part: str, value: str, remedy: str) -> InvalidSpec:
    return InvalidSpec(FieldError(part, f"{value[:100]!r} can't stand there", remedy))
