"""Pulling from Hugging Face: one commit, every byte compared, tokens for the hub alone, and words for each refusal."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import lies
import pytest
from aiohttp import web
from gguf_builders import llama_gguf
from lying_hub import FakeHub, git_digest
from oci_artifacts import random_bytes
from pulls import CHUNK, QUICK

from berth_api.errors import BerthError, InvalidSpec
from berth_store.errors import DigestMismatch, LicenseGated, NoModelInSource, SourceNotFound, SourceUnauthorized
from berth_store.integrity import find_damage
from berth_store.local import Store
from berth_store.pull import pull
from berth_store.registries import RegistryConfig
from berth_store.sources.access import SourceAccess
from berth_store.sources.address import parse_name
from berth_store.sources.identity import stored_digest
from berth_store.transport import Transport

WEIGHTS = random_bytes(6 * CHUNK + 77, seed=5)
MODEL = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": random_bytes(1000, seed=6),
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"pickle",
    "README.md": b"# Model",
    ".gitattributes": b"*.safetensors filter=lfs",
    "empty.txt": b"",
}
TAKEN = {"config.json", "tokenizer.json", "model.safetensors", "empty.txt"}


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    async with FakeHub() as server:
        server.tokens = {"hf_good"}
        server.hold("org/model", MODEL)
        yield server


def config(hub: FakeHub, **variables: str) -> RegistryConfig:
    return replace(QUICK, access=SourceAccess.from_environment({"HF_ENDPOINT": hub.address, **variables}))


def view_of(store: Store, name: str) -> dict[str, bytes]:
    digest = store.resolve(parse_name(name))
    assert digest is not None
    folder = store.view(digest)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_model_comes_whole_and_without_what_no_engine_reads(store: Store, hub: FakeHub) -> None:
    counts: list[tuple[int, int]] = []
    await pull(
        store,
        parse_name("hf://org/model"),
        registries=config(hub),
        progress=lambda moment: counts.append((moment.bytes_done, moment.bytes_total)),
    )
    assert view_of(store, "hf://org/model") == {path: MODEL[path] for path in TAKEN}
    assert find_damage(store) == ()
    assert counts[-1] == (sum(len(MODEL[path]) for path in TAKEN),) * 2
    assert [path.suffix for path in store.ingest.iterdir()] == [".receipt"] * 3
    (listed,) = store.list()
    assert str(listed.reference) == "hf://org/model"
    assert listed.artifact is not None
    assert listed.artifact.format == "Safetensors"


async def test_files_are_read_at_one_commit_also_when_the_branch_moves_meanwhile(store: Store, hub: FakeHub) -> None:
    async def moving(request: web.Request, content: bytes, span: lies.Range | None) -> web.StreamResponse:
        hub.hold("org/model", dict.fromkeys(MODEL, b"other"))
        return await lies.honest(request, content, span)

    hub.lie(moving)
    await pull(store, parse_name("hf://org/model"), registries=config(hub))
    assert view_of(store, "hf://org/model") == {path: MODEL[path] for path in TAKEN}


async def test_the_same_files_from_elsewhere_are_the_same_artifact(store: Store, hub: FakeHub) -> None:
    hub.hold("other/copy", MODEL)
    first = await pull(store, parse_name("hf://org/model"), registries=config(hub))
    before = len(hub.cdn.seen)
    assert await pull(store, parse_name("hf://other/copy"), registries=config(hub)) == first
    assert len(hub.cdn.seen) == before, "weights with a known digest are not fetched twice"


async def test_a_renewed_pull_fetches_what_has_changed(store: Store, hub: FakeHub) -> None:
    first = await pull(store, parse_name("hf://org/model"), registries=config(hub))
    hub.hold("org/model", {**MODEL, "config.json": b'{"model_type": "llama"}'})
    hub.seen.clear()
    assert await pull(store, parse_name("hf://org/model"), registries=config(hub)) != first
    assert [seen.path.rpartition("/")[2] for seen in hub.seen if "/resolve/" in seen.path] == ["config.json"]


async def test_a_pin_is_kept_and_its_files_need_no_hub(store: Store, hub: FakeHub) -> None:
    digest = await pull(store, parse_name("hf://org/model"), registries=config(hub))
    pin = stored_digest(store.manifest(digest))
    hub.seen.clear()
    assert await pull(store, parse_name(f"hf://org/model@{pin}"), registries=config(hub)) == digest
    assert hub.seen == []
    hub.hold("org/model", {**MODEL, "config.json": b"{}"})
    fresh = Store(store.root.with_name("fresh"))
    with pytest.raises(DigestMismatch, match=f"not {pin}; pin the digest that is there"):
        await pull(fresh, parse_name(f"hf://org/model@{pin}"), registries=config(hub))
    assert fresh.list() == ()
    assert not any(seen.moment > hub.seen[0].moment for seen in hub.cdn.seen), "it is told before the weights come"


async def test_a_mismatch_keeps_what_was_there(store: Store, hub: FakeHub) -> None:
    digest = await pull(store, parse_name("hf://org/model"), registries=config(hub))
    hub.hold("org/model", {**MODEL, "config.json": b"{}"})
    with pytest.raises(DigestMismatch):
        await pull(store, parse_name("hf://org/model@sha256:" + "0" * 64), registries=config(hub))
    assert store.resolve(parse_name("hf://org/model")) == digest
    assert find_damage(store) == ()


async def test_patterns_choose_and_have_a_name_of_their_own(store: Store, hub: FakeHub) -> None:
    await pull(store, parse_name("hf://org/model"), registries=config(hub))
    await pull(store, parse_name("hf://org/model#*.json"), registries=config(hub))
    assert set(view_of(store, "hf://org/model#*.json")) == {"config.json", "tokenizer.json"}
    assert set(view_of(store, "hf://org/model")) == TAKEN


async def test_a_quantisation_is_one_file(store: Store, hub: FakeHub) -> None:
    hub.hold("org/gguf", {"m-Q4_K_M.gguf": llama_gguf(), "m-Q8_0.gguf": b"x" * 200_000, "README.md": b""})
    with pytest.raises(NoModelInSource, match="at the end of the address: Q4_K_M, Q8_0"):
        await pull(store, parse_name("hf://org/gguf"), registries=config(hub))
    await pull(store, parse_name("hf://org/gguf:Q4_K_M"), registries=config(hub))
    assert set(view_of(store, "hf://org/gguf:Q4_K_M")) == {"m-Q4_K_M.gguf"}
    assert store.list()[0].artifact is not None
    assert store.list()[0].artifact.quantization == "Q4_K_M"


async def test_the_token_goes_to_the_hub_and_not_to_where_it_sends_us(store: Store, hub: FakeHub) -> None:
    hub.hold("org/model", MODEL, gated=True)
    await pull(store, parse_name("hf://org/model"), registries=config(hub, HF_TOKEN="hf_good"))
    assert hub.sent("authorization") == {"Bearer hf_good"}
    assert hub.cdn.seen
    assert hub.cdn.sent("authorization") == set()


@pytest.mark.parametrize(
    ("host", "used"), [("{hub}", True), ("elsewhere.example, {hub}", True), ("huggingface.co", False), ("", False)]
)
async def test_a_secrets_token_is_for_the_hosts_that_it_names(
    store: Store, hub: FakeHub, tmp_path: Path, host: str, used: bool
) -> None:
    hub.hold("org/model", MODEL, gated=True)
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "token").write_text("hf_good\n")
    (folder / "host").write_text(host.format(hub=hub.authority))
    registries = config(hub, BERTH_SOURCE_SECRET=str(folder), HF_TOKEN="hf_other")
    if used:
        await pull(store, parse_name("hf://org/model"), registries=registries)
        assert hub.sent("authorization") == {"Bearer hf_good"}
    else:
        with pytest.raises(LicenseGated, match="the Secret was not used, because"):
            await pull(store, parse_name("hf://org/model"), registries=registries)
        assert hub.sent("authorization") == set()


async def test_a_gated_model_says_what_to_do(store: Store, hub: FakeHub) -> None:
    hub.hold("org/model", MODEL, gated=True)
    with pytest.raises(LicenseGated) as refused:
        await pull(store, parse_name("hf://org/model"), registries=config(hub))
    assert refused.value.reason == "LicenseGated"
    said = str(refused.value)
    assert f"open {hub.address}/org/model, accept it" in said
    assert "set HF_TOKEN" in said
    assert "spec.source.secretRef" in said


@pytest.mark.parametrize(
    ("name", "variables", "error", "said"),
    [
        ("org/nowhere", {}, SourceNotFound, "has no such model, or does not show it to you; check the spelling"),
        ("org/private", {}, SourceNotFound, "for a private one: no token was given"),
        ("org/disabled", {}, SourceNotFound, "has disabled it; choose another model"),
        ("org/model@v9", {}, SourceNotFound, "it has no branch, tag or commit v9; correct what follows the @"),
        ("org/model", {"HF_TOKEN": "hf_bad"}, SourceUnauthorized, "does not know the token; the token in HF_TOKEN"),
        ("org/model", {"HF_TOKEN": "hf_\nbad: header"}, SourceUnauthorized, "HF_TOKEN holds characters"),
    ],
)
async def test_a_refusal_says_why_and_what_to_do(
    store: Store, hub: FakeHub, name: str, variables: dict[str, str], error: type[BerthError], said: str
) -> None:
    hub.hold("org/private", MODEL, private=True)
    hub.hold("org/disabled", MODEL, disabled=True)
    with pytest.raises(error, match=said):
        await pull(store, parse_name(f"hf://{name}"), registries=config(hub, **variables))
    assert store.list() == ()


async def test_a_renamed_repository_is_found_with_the_token(store: Store, hub: FakeHub) -> None:
    hub.hold("org/model", MODEL, private=True)
    hub.renamed["old/name"] = "org/model"
    await pull(store, parse_name("hf://old/name"), registries=config(hub, HF_TOKEN="hf_good"))
    assert view_of(store, "hf://old/name") == {path: MODEL[path] for path in TAKEN}
    assert hub.sent("authorization") == {"Bearer hf_good"}


@pytest.mark.parametrize("endpoint", ["http://hub.example.com", "nonsense", "https://user:word@hub.example.com"])
async def test_an_endpoint_that_may_not_be_asked_is_refused(store: Store, endpoint: str) -> None:
    registries = replace(QUICK, access=SourceAccess.from_environment({"HF_ENDPOINT": endpoint}))
    with pytest.raises(InvalidSpec, match=r"HF_ENDPOINT: .* can't be asked"):
        await pull(store, parse_name("hf://org/model"), registries=registries)


LIES = [
    lies.ignore_range,
    lies.another_range,
    lies.another_size,
    lies.fewer_bytes,
    lies.one_byte_more,
    lies.not_satisfiable,
    lies.reset_midway,
    lies.reset_at_once,
    lies.stall,
    lies.wrong_bytes,
    lies.status(503),
    lies.status(429, "0"),
    lies.status(403),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: getattr(lie, "__name__", "status"))
async def test_a_lie_about_the_weights_costs_nothing_but_time(store: Store, hub: FakeHub, lie: lies.Lie) -> None:
    hub.cdn.lie(lie, times=2)
    await pull(store, parse_name("hf://org/model"), registries=config(hub))
    assert view_of(store, "hf://org/model") == {path: MODEL[path] for path in TAKEN}


async def test_small_files_are_compared_with_gits_digest(store: Store, hub: FakeHub) -> None:
    hub.lie(lies.wrong_bytes)
    await pull(store, parse_name("hf://org/model"), registries=config(hub))
    assert view_of(store, "hf://org/model") == {path: MODEL[path] for path in TAKEN}
    hub.hold("org/model", {**MODEL, "config.json": b'{"a": 1}'})
    hub.always(lies.wrong_bytes)
    digest = git_digest(b'{"a": 1}')
    with pytest.raises(
        DigestMismatch, match=f"config.json: what is sent has another digest than the git digest {digest}"
    ):
        await pull(store, parse_name("hf://org/model"), registries=config(hub))


async def test_an_address_that_expires_on_the_way_is_asked_for_anew(store: Store, hub: FakeHub) -> None:
    async def expiring(request: web.Request, content: bytes, span: lies.Range | None) -> web.StreamResponse:
        hub.cdn.expire()
        return await lies.honest(request, content, span)

    hub.cdn.lie(expiring, times=3)
    await pull(store, parse_name("hf://org/model"), registries=config(hub))
    assert find_damage(store) == ()


async def test_an_address_that_is_good_only_once_costs_no_attempt(store: Store, hub: FakeHub) -> None:
    async def expiring(request: web.Request, content: bytes, span: lies.Range | None) -> web.StreamResponse:
        hub.cdn.expire()
        return await lies.honest(request, content, span)

    hub.cdn.lie(expiring)
    one_by_one = replace(config(hub), connections=1, retry=replace(QUICK.retry, attempts=1))
    await pull(store, parse_name("hf://org/model"), registries=one_by_one)
    assert find_damage(store) == ()


async def test_a_pause_by_the_hubs_own_header_is_kept(store: Store, hub: FakeHub) -> None:
    async def limited(request: web.Request, content: bytes, span: lies.Range | None) -> web.StreamResponse:
        return web.Response(status=429, headers={"RateLimit": '"resolvers";r=0;t=1'})

    hub.lie(limited)
    await pull(store, parse_name("hf://org/model#config.json"), registries=config(hub))
    first, second = (seen.moment for seen in hub.seen if seen.path.endswith("config.json"))
    assert second - first >= 1


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/passwd.json", "a/../../b.json", "a\\b.json", "x\u202e.json", "a//b.json"]
)
async def test_a_hostile_file_name_is_refused_before_a_byte_comes(store: Store, hub: FakeHub, name: str) -> None:
    hub.hold("org/model", {**MODEL, name: b"{}"})
    with pytest.raises(NoModelInSource, match="is refused, it"):
        await pull(store, parse_name("hf://org/model"), registries=config(hub))
    assert not any("/resolve/" in seen.path for seen in hub.seen)


async def test_the_real_client_reads_the_fake_as_we_do(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second opinion: if `huggingface_hub` understands the fake, it says what the real hub says."""
    import asyncio

    from huggingface_hub import HfApi, get_hf_file_metadata
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    from berth_store.sources.opened import open_source

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    api = HfApi(endpoint=hub.address, token=False)
    info = await asyncio.to_thread(api.model_info, "org/model", files_metadata=True)
    async with Transport(config(hub)) as transport:
        listing = await open_source(parse_name("hf://org/model"), transport, config(hub)).list_files()
    assert info.sha == listing.revision
    assert info.siblings is not None
    theirs = {each.rfilename: (each.size, each.lfs.sha256 if each.lfs else each.blob_id) for each in info.siblings}
    ours = {each.path: (each.size, each.digest[7:] if each.digest else each.git_digest) for each in listing.files}
    assert theirs == ours
    url = f"{hub.address}/org/model/resolve/main/{quote('model.safetensors')}"
    metadata = await asyncio.to_thread(get_hf_file_metadata, url, token=False, endpoint=hub.address)
    assert (metadata.size, metadata.commit_hash) == (len(WEIGHTS), listing.revision)
    with pytest.raises(RevisionNotFoundError):
        await asyncio.to_thread(api.model_info, "org/model", revision="v9")
    with pytest.raises(RepositoryNotFoundError):
        await asyncio.to_thread(api.model_info, "org/nowhere")
    hub.hold("org/model", MODEL, gated=True)
    with pytest.raises(GatedRepoError):
        await asyncio.to_thread(get_hf_file_metadata, url, token=False, endpoint=hub.address)
