"""One artifact with one large file, and how a pull of it is configured and judged. For tests of pull."""

import lies
from aiohttp import web
from lies import Lie
from oci_artifacts import MadeArtifact, random_bytes

from berth_store.digest import digest_of, hex_of
from berth_store.integrity import find_damage
from berth_store.journal import read_journal
from berth_store.local import Store
from berth_store.ranges import Range, even_chunk_bytes
from berth_store.reference import Reference
from berth_store.registries import RegistryConfig
from berth_store.retry import RetryPolicy

CHUNK = 256 * 1024
CONTENT = random_bytes(10 * CHUNK + 321)
QUICK = RegistryConfig(
    chunk_bytes=CHUNK,
    connections=4,
    connect_timeout_seconds=5,
    stall_timeout_seconds=0.3,
    retry=RetryPolicy(attempts=4, first_delay_seconds=0.001, longest_delay_seconds=0.01, longest_wait_seconds=1),
)

# How long the chunks are in which `QUICK` fetches `CONTENT`: twelve of them, three for each connection.
EVEN = even_chunk_bytes(len(CONTENT), CHUNK, QUICK.connections)


def of_weights(lie: Lie) -> Lie:
    """The lie for the large blob, the truth for the small ones."""

    async def answer(request: web.Request, content: bytes, span: Range | None) -> web.StreamResponse:
        return await (lie if content == CONTENT else lies.honest)(request, content, span)

    return answer


def kept_bytes(store: Store) -> int:
    """How much of the large blob the journal on disk says is there."""
    journal = store.ingest / f"{hex_of(digest_of(CONTENT))}.journal"
    return sum(record.span.length for record in read_journal(journal, len(CONTENT)))


def assert_whole(store: Store, reference: Reference, artifact: MadeArtifact) -> None:
    assert store.resolve(reference) == artifact.digest
    assert find_damage(store) == ()
    assert (store.view(artifact.digest) / "model.gguf").read_bytes() == CONTENT
    assert list(store.ingest.iterdir()) == []
