"""Uploading one blob: in one request, and in chunks where that does not come through.

Chunks need more round trips and not every registry takes them (Google's has none, GitHub's refuses large ones, Amazon's
ends after the first), so one streamed request is the rule. If its connection breaks, or something on the way refuses a
body of that size, the upload goes on in chunks from the byte that the registry says it has. So does a later process
with what a killed one has left (`berth_store.upload_session`); where the registry has forgotten it, it begins anew.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from yarl import URL

from berth_store.auth import Scopes, scope
from berth_store.errors import DigestMismatch, SourceError, SourceUnreachable
from berth_store.manifest import Descriptor
from berth_store.progress import Meter
from berth_store.ranges import Range
from berth_store.registry import Registry
from berth_store.retry import Attempts
from berth_store.tasks import in_thread
from berth_store.upload_session import UploadSession

READ_BYTES = 1024 * 1024
CHUNK_BYTES = 16 * 1024 * 1024
MAX_CHUNK_BYTES = 512 * 1024 * 1024
# After the last byte a registry may still have to copy the whole blob to where it belongs.
COMMIT_SECONDS = 900.0
_NO_CHUNKS = re.compile(r"(?:.*\.)?(?:ghcr\.io|gcr\.io|pkg\.dev|amazonaws\.com)")
_RECEIVED = re.compile(r"(?:bytes=)?0-(\d{1,16})")


class Upload:
    """The upload of one blob of the store to a repository."""

    def __init__(
        self,
        registry: Registry,
        repository: str,
        scopes: Scopes,
        blob: Descriptor,
        path: Path,
        *,
        meter: Meter,
        kept: UploadSession,
    ) -> None:
        self._registry = registry
        self._repository = repository
        self._scopes = scopes
        self._blob = blob
        self._path = path
        self._meter = meter
        self._kept = kept
        self._counted = 0
        self._chunk_bytes = CHUNK_BYTES
        self._subject = f"{registry.name}/{repository}@{blob.digest}"

    async def run(self, mount_from: str | None = None) -> None:
        """Send the blob, or have it mounted from the repository `mount_from` of the same registry."""
        if mount_from is not None and await self._mount(mount_from):
            self._count_to(self._blob.size)
            return
        session = await self._left_over()
        try:
            await self._send(session)
        except DigestMismatch:
            if session is None:
                raise
            # What the registry had of it was not the beginning of this blob.
            await self._send(None)
        self._count_to(self._blob.size)
        await in_thread(self._kept.forget)

    async def _left_over(self) -> URL | None:
        """The upload that an earlier process has begun, if its address is one of the registry itself."""
        session = await in_thread(self._kept.read)
        is_ours = session is not None and session.origin() == (await self._registry.base()).origin()
        return session if is_ours else None

    async def _send(self, session: URL | None) -> None:
        """Send the blob, over trouble that may pass; with `session` from the byte on that the registry has of it."""
        attempts = Attempts(self._registry.config.retry)
        in_chunks, received, confirmed, has_failed = session is not None, 0, 0, False
        while True:
            try:
                # An upload whose answer was lost may have come to its end all the same.
                if has_failed and await self._registry.has_blob(self._repository, self._blob.digest, self._scopes):
                    return
                known = await self._ask_progress(session) if session is not None and in_chunks else None
                if known is None:
                    session, received, in_chunks = await self._open(), 0, in_chunks and has_failed
                else:
                    session, received = known
                await in_thread(self._kept.keep, session)
                # Only what the registry has confirmed is progress: else an upload that always breaks would never end.
                attempts.received(max(0, received - confirmed))
                confirmed = max(confirmed, received)
                self._count_to(received)
                if in_chunks:
                    await self._send_in_chunks(session, received)
                else:
                    await self._send_whole(session)
            except SourceError as error:
                has_failed, in_chunks = True, in_chunks or takes_chunks(self._registry.name)
                session = session if in_chunks else None
                await attempts.pause_after(error)
            else:
                return

    async def _mount(self, other: str) -> bool:
        """Whether the registry has taken the blob over from another of its repositories."""
        where = f"{self._repository}/blobs/uploads/?mount={self._blob.digest}&from={other}"
        scopes = (*self._scopes, scope(other, "pull"))
        try:
            async with self._registry.request("POST", where, scopes) as response:
                return response.status == 201
        except SourceError:
            return False  # Not allowed to read there, perhaps: then it is sent like any other.

    async def _open(self) -> URL:
        async with self._request("POST", f"{self._repository}/blobs/uploads/") as response:
            if response.status != 202 or "Location" not in response.headers:
                raise await self._registry.failure(response, self._subject)
            smallest = response.headers.get("OCI-Chunk-Min-Length", "")
            if smallest.isdecimal():
                self._chunk_bytes = max(CHUNK_BYTES, min(int(smallest), MAX_CHUNK_BYTES))
            return self._registry.resolve(response)

    async def _ask_progress(self, session: URL) -> tuple[URL, int] | None:
        """Where to go on, and from which byte; None if the registry has lost this upload."""
        async with self._request("GET", session) as response:
            if response.status == 204:
                return self._next_session(response, session), self._received(response)
        return None

    async def _send_whole(self, session: URL) -> None:
        async with self._sending("PUT", self._with_digest(session), Range(0, self._blob.size)) as response:
            await self._check_created(response)

    async def _send_in_chunks(self, session: URL, received: int) -> None:
        while received < self._blob.size:
            chunk = Range(received, min(received + self._chunk_bytes, self._blob.size))
            async with self._sending("PATCH", session, chunk) as response:
                if response.status != 202:
                    raise await self._refusal(response)
                session, now = self._next_session(response, session), self._received(response)
            if not received < now <= chunk.stop:
                raise SourceUnreachable(f"{self._subject}: the registry says it has {now} bytes of {chunk.stop} sent")
            received = now
            self._count_to(received)
            await in_thread(self._kept.keep, session)
        async with self._request("PUT", self._with_digest(session)) as response:
            await self._check_created(response)

    @asynccontextmanager
    async def _sending(self, method: str, url: URL, span: Range) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request with the bytes of `span` as its body, under a watchdog that each piece sent sets back."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(span.length)}
        if method == "PATCH":
            headers["Content-Range"] = f"{span.start}-{span.stop - 1}"
        try:
            async with asyncio.timeout(self._registry.config.stall_timeout_seconds) as watchdog:
                async with self._registry.request(
                    method, url, self._scopes, headers=headers, body=lambda: self._read(span, watchdog)
                ) as response:
                    yield response
        except TimeoutError as error:
            raise SourceUnreachable(f"{self._subject}: the registry takes no more bytes, or does not answer") from error

    async def _read(self, span: Range, watchdog: asyncio.Timeout) -> AsyncIterator[bytes]:
        loop, stall_seconds = asyncio.get_running_loop(), self._registry.config.stall_timeout_seconds
        position = span.start
        self._count_to(position)
        while position < span.stop:
            piece = await in_thread(_read_at, self._path, position, min(READ_BYTES, span.stop - position))
            if not piece:
                return
            watchdog.reschedule(loop.time() + stall_seconds)
            yield piece
            position += len(piece)
            self._count_to(position)
        watchdog.reschedule(loop.time() + COMMIT_SECONDS)

    @asynccontextmanager
    async def _request(self, method: str, where: str | URL) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._registry.request(method, where, self._scopes) as response:
            yield response

    async def _check_created(self, response: aiohttp.ClientResponse) -> None:
        if response.status != 201:
            raise await self._refusal(response)
        said = response.headers.get("Docker-Content-Digest", self._blob.digest)
        if said != self._blob.digest:
            raise DigestMismatch(f"{self._subject}: the registry has stored {said} instead; push again")

    async def _refusal(self, response: aiohttp.ClientResponse) -> SourceError:
        """The error for a body that was not taken. A lost upload or too much at once is worth another way."""
        error = await self._registry.failure(response, self._subject)
        if response.status in {404, 413, 416}:
            return SourceUnreachable(str(error))
        if response.status == 400 and "DIGEST_INVALID" in str(error):
            return DigestMismatch(f"{self._path}: this blob of the store is damaged; pull or package the model again")
        return error

    def _next_session(self, response: aiohttp.ClientResponse, session: URL) -> URL:
        return self._registry.resolve(response) if "Location" in response.headers else session

    def _received(self, response: aiohttp.ClientResponse) -> int:
        """How many bytes the registry has. `0-0` stands for none: no chunk ends after one byte."""
        said = _RECEIVED.fullmatch(response.headers.get("Range", ""))
        return int(said[1]) + 1 if said and int(said[1]) > 0 else 0

    def _with_digest(self, session: URL) -> URL:
        joint = "&" if session.raw_query_string else "?"
        return URL(f"{session}{joint}digest={self._blob.digest}", encoded=True)

    def _count_to(self, position: int) -> None:
        self._meter.add(position - self._counted)
        self._counted = position


def _read_at(path: Path, position: int, count: int) -> bytes:
    """Opened anew each time: a request may be dropped at any moment, and would leave an open file behind."""
    with path.open("rb") as file:
        file.seek(position)
        return file.read(count)


def takes_chunks(registry: str) -> bool:
    """Whether this registry is not known to mishandle uploads in chunks."""
    return _NO_CHUNKS.fullmatch(registry.partition(":")[0]) is None
