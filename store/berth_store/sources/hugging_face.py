"""`hf://`: a repository of Hugging Face, or of a server that speaks like it (`HF_ENDPOINT`).

The repository is asked once, for the commit that the revision stands for and for its files with size and digest: large
ones (LFS, Xet) by sha256, small ones by git's sha1. Then every file is read at that commit. The shapes are those that
the client library `huggingface_hub` reads; a test compares what the two make of the same answers.
"""

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from yarl import URL

from berth_api.errors import FieldError, InvalidSpec
from berth_store.digest import Digest
from berth_store.errors import (
    LicenseGated,
    NoModelInSource,
    SourceError,
    SourceNotFound,
    SourceUnauthorized,
    SourceUnreachable,
)
from berth_store.registries import RegistryConfig
from berth_store.retry import with_retries
from berth_store.sources.locations import HubLocation
from berth_store.sources.protocol import ListedFile, Listing
from berth_store.sources.web import Site, SiteFile, retry_after_of
from berth_store.transport import Transport, read_body

MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_FILES = 20_000
_RATE_LIMIT = re.compile(r"\bt=(\d{1,6})\b")
_Name = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
_Size = Annotated[int, Field(ge=0, le=1 << 50)]


class _Said(BaseModel):
    """What the hub says, read leniently: what is not used may have any form."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class _Lfs(_Said):
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    size: _Size


class _Sibling(_Said):
    rfilename: _Name
    size: _Size | None = None
    blob_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}$")] | None = None
    lfs: _Lfs | None = None


class _Repository(_Said):
    sha: Annotated[str, StringConstraints(pattern="^[0-9a-f]{40}$")]
    siblings: tuple[_Sibling, ...] = Field(default=(), max_length=MAX_FILES)


class HubSource:
    """See `berth_store.sources.protocol.Source`."""

    def __init__(self, location: HubLocation, transport: Transport, config: RegistryConfig) -> None:
        base = _endpoint(config)
        self.host = base.raw_authority
        self._location = location
        self._config = config
        self._commit = location.revision
        self._login = config.access.hub_login(base)
        self._site = Site(transport, config, base, self._authorize, self._explain)

    async def list_files(self) -> Listing:
        """Every file of the repository, at the commit that its revision stands for now."""
        answer = await with_retries(self._config.first_contact, self._ask)
        try:
            repository = _Repository.model_validate_json(answer)
            files = tuple(map(_listed, repository.siblings))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise SourceUnreachable(
                f"{self._location.uri}: the answer of {self.host} can't be read ({where}: {fault['msg']}); is "
                "HF_ENDPOINT a server that speaks like Hugging Face?",
                permanent=True,
            ) from error
        self._commit = repository.sha
        return Listing(files, revision=repository.sha)

    def open(self, file: ListedFile) -> SiteFile:
        """A file at the commit that `list_files` has found."""
        url = self._url(f"{self._location.id}/resolve/{self._commit}/{quote(file.path)}")
        return SiteFile(self._site, url, f"{self._location.uri}/{file.path}")

    async def read_attached(self, _: Listing) -> list[bytes]:
        """None: a signature is a file of a repository like any other."""
        return []

    async def _ask(self) -> bytes:
        revision = quote(self._location.revision, safe="")
        url = self._url(f"api/models/{self._location.id}/revision/{revision}?blobs=true")
        async with self._site.get(url, {"Accept": "application/json"}) as response:
            if response.status != 200:
                raise await self._site.failure(response, self._location.uri)
            answer = await read_body(response, MAX_ANSWER_BYTES)
        if len(answer) > MAX_ANSWER_BYTES:
            raise NoModelInSource(
                f"{self._location.uri}: the list of its files is larger than {MAX_ANSWER_BYTES} bytes"
            )
        return answer

    def _url(self, path: str) -> URL:
        return URL(f"{str(self._site.base).rstrip('/')}/{path}", encoded=True)

    def _authorize(self, _: URL, __: Mapping[str, str]) -> Mapping[str, str]:
        return self._login.headers

    async def _explain(self, response: aiohttp.ClientResponse, subject: str) -> SourceError:
        code, said = response.headers.get("X-Error-Code", ""), _printable(response.headers.get("X-Error-Message", ""))
        status, name, advice = response.status, self._location.id, self._login.advice
        refused = self._refusal(status, code, said)
        if refused is not None:
            return refused
        if code == "EntryNotFound":
            return SourceNotFound(f"{subject}: there is no such file at commit {self._commit}")
        if code == "RepoNotFound" or status in {401, 404}:
            # The hub answers the same for what does not exist and for what this account may not see.
            return SourceNotFound(
                f"{name}: {self.host} has no such model, or does not show it to you; check the spelling, and for a "
                f"private one: {advice}"
            )
        message = f"{subject}: {self.host} answered with status {status}{f' (it says: {said})' if said else ''}"
        if status >= 500 or status in {408, 429}:
            return SourceUnreachable(f"{message}; try again later", retry_after_seconds=_wait_of(response))
        return SourceUnreachable(f"{message}; check the address and HF_ENDPOINT", permanent=True)

    def _refusal(self, status: int, code: str, said: str) -> SourceError | None:
        """What the hub refuses by its own words; None where they say nothing of the kind."""
        name, advice = self._location.id, self._login.advice
        if code == "GatedRepo":
            return LicenseGated(
                f"{name}: its makers want their licence accepted first; open {self._url(name)}, accept it, and give a "
                f"token of that account: {advice}"
            )
        if code == "RevisionNotFound":
            return SourceNotFound(
                f"{name}: it has no branch, tag or commit {self._location.revision}; correct what follows the @"
            )
        if "Access to this resource is disabled" in said:
            return SourceNotFound(f"{name}: {self.host} has disabled it; choose another model")
        if status == 401 and said == "Invalid credentials in Authorization header":
            return SourceUnauthorized(f"{name}: {self.host} does not know the token; {advice}")
        if status == 403 and code != "RepoNotFound":
            return SourceUnauthorized(f"{name}: {self.host} does not allow it ({said or 'status 403'}); {advice}")
        return None


def _endpoint(config: RegistryConfig) -> URL:
    try:
        base = URL(config.access.hub)
    except ValueError:
        base = URL()
    may_be_plain = base.scheme == "http" and config.allows_plain_http(base.host or "", base.explicit_port)
    if base.host is None or base.user is not None or not (base.scheme == "https" or may_be_plain):
        remedy = "write https://huggingface.co, or leave it out; plain HTTP is for hosts in BERTH_INSECURE_REGISTRIES"
        raise InvalidSpec(FieldError("HF_ENDPOINT", f"{config.access.hub[:100]!r} can't be asked", remedy))
    return base


def _listed(sibling: _Sibling) -> ListedFile:
    if sibling.lfs is not None:
        return ListedFile(sibling.rfilename, sibling.lfs.size, digest=Digest(f"sha256:{sibling.lfs.sha256}"))
    if sibling.size is None or sibling.blob_id is None:
        raise NoModelInSource(
            f"{sibling.rfilename[:200]!r}: the server tells neither its size nor its digest; HF_ENDPOINT must answer "
            "`?blobs=true` as Hugging Face does"
        )
    return ListedFile(sibling.rfilename, sibling.size, git_digest=sibling.blob_id)


def _wait_of(response: aiohttp.ClientResponse) -> float | None:
    """By Retry-After, or by the hub's own header, which reads `"api";r=0;t=57`."""
    found = _RATE_LIMIT.search(response.headers.get("RateLimit", "")) if response.status == 429 else None
    asked = retry_after_of(response)
    return asked if asked is not None or found is None else float(found[1])


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:300]
