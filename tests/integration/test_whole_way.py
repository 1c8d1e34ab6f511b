"""The whole way with nothing faked: weights packaged, pushed to a registry, forgotten, pulled by `berth up`, served.

Both engines answer behind Envoy, and the official client asks.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
import pytest_asyncio
from binomial import binomial_bounds
from examples.quickstart.prepare import MODELS, prepare
from laptop import Laptop, laptop_in
from registry import RunningRegistry, running_registry

from berth_store.local import Store

pytestmark = [
    pytest.mark.needs("envoy", "registry", "smollm2", "minilm"),
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

MODEL = """\
apiVersion: berth.dev/v1alpha1
kind: Model
metadata: {{name: {name}}}
spec:
  source: {{uri: "oci://{registry}/team/{artifact}:1"}}
  aliases: [{alias}]
---
"""
ROUTE = """\
apiVersion: berth.dev/v1alpha1
kind: ModelRoute
metadata: {name: vectors}
spec:
  names: [text-embedding-3-small]
  rules:
    - backends:
        - {backendRef: {kind: Model, name: minilm}, weight: 70}
        - {backendRef: {kind: Model, name: minilm-next}, weight: 30}
"""
SHARE, REQUESTS = 0.7, 1000


def manifest(registry: str) -> str:
    models = [("smollm2", "smollm2", "smol"), ("minilm", "minilm", "small"), ("minilm-next", "minilm", "next")]
    served = [MODEL.format(name=name, registry=registry, artifact=of, alias=alias) for name, of, alias in models]
    return "".join(served) + ROUTE


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def laptop(registry: RunningRegistry) -> AsyncIterator[Laptop]:
    """A laptop whose store knew the models once, and has them from the registry alone."""
    async with laptop_in() as one:
        prepare(one.home)
        await push_both(one, registry)
        shutil.rmtree(one.home / "store")
        await one.up(one.write(manifest(registry.address)))
        assert "Ready at" in one.output, one.output
        yield one


async def push_both(laptop: Laptop, registry: RunningRegistry) -> None:
    store = Store(laptop.home / "store")
    for model in MODELS:
        digest = store.resolve(model.reference)
        assert digest is not None
        name = registry.reference(f"team/{model.reference.repository}:1")
        store.tag(name, digest)
        pushed = await laptop.run("push", str(name))
        assert pushed.code == 0, pushed.err


@pytest_asyncio.fixture(loop_scope="module")
async def client(laptop: Laptop) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=laptop.base_url, api_key="none", max_retries=0) as one:
        yield one


async def test_all_that_was_pulled_is_listed_under_every_name(client: openai.AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]
    assert listed == sorted(["smollm2", "smol", "minilm", "small", "minilm-next", "next", "text-embedding-3-small"])


@pytest.mark.parametrize("name", ["smollm2", "smol", "default/smollm2"])
async def test_a_chat_is_answered_plain_and_streamed(client: openai.AsyncOpenAI, name: str) -> None:
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    plain = await client.chat.completions.create(model=name, messages=messages, max_tokens=12, temperature=0)  # type: ignore[arg-type]
    assert plain.choices[0].message.content
    assert plain.model == "smollm2"
    stream = await client.chat.completions.create(  # type: ignore[call-overload]
        model=name, messages=messages, max_tokens=12, temperature=0, stream=True
    )
    pieces = [event.choices[0].delta.content or "" async for event in stream if event.choices]
    assert "".join(pieces) == plain.choices[0].message.content


async def test_the_first_token_comes_well_before_the_last(client: openai.AsyncOpenAI) -> None:
    loop = asyncio.get_running_loop()
    stream = await client.completions.create(
        model="smol", prompt="One, two,", max_tokens=64, stream=True, extra_body={"ignore_eos": True}
    )
    times, finish = [], None
    async for event in stream:
        for choice in event.choices:
            finish = choice.finish_reason or finish
            times += [loop.time()] if choice.text else []
    assert (len(times) > 32, finish) == (True, "length")
    # What sixty tokens take is between them, and not before the first.
    assert times[-1] - times[0] > 0.05


async def test_a_completion_goes_on_with_its_prompt(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model="smollm2", prompt="The capital of France is", max_tokens=4, temperature=0
    )
    assert "Paris" in answer.choices[0].text


async def test_near_meanings_have_near_vectors(client: openai.AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="small", input=["A ship at sea.", "A boat on water.", "Fresh bread."])
    ship, boat, bread = (row.embedding for row in answer.data)
    assert product(ship, boat) > product(ship, bread) + 0.3
    assert product(ship, ship) == pytest.approx(1, abs=1e-4)


def product(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_a_weighted_route_divides_requests_within_the_binomial_bound(client: openai.AsyncOpenAI) -> None:
    async def ask() -> str:
        return (await client.embeddings.create(model="text-embedding-3-small", input="port")).model

    answered: Counter[str] = Counter()
    for _ in range(REQUESTS // 10):
        answered.update(await asyncio.gather(*(ask() for _ in range(10))))
    low, high = binomial_bounds(REQUESTS, SHARE, 0.9999)
    assert low <= answered["minilm"] <= high
    assert set(answered) == {"minilm", "minilm-next"}


async def test_an_unknown_name_is_not_found_and_close_ones_are_told(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="`smollm2`") as refused:
        await client.chat.completions.create(model="smollm", messages=[{"role": "user", "content": "hi"}])
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


async def test_a_model_is_pulled_again_after_it_was_deleted_here(
    laptop: Laptop, registry: RunningRegistry, client: openai.AsyncOpenAI
) -> None:
    assert await laptop.stop() == 0
    fetched = len(blob_requests(registry))
    Store(laptop.home / "store").remove(registry.reference("team/smollm2:1"))
    await laptop.up(laptop.folder / "models.yaml")
    assert len(blob_requests(registry)) > fetched
    answer = await client.completions.create(
        model="smollm2", prompt="The capital of France is", max_tokens=4, temperature=0
    )
    assert "Paris" in answer.choices[0].text


def blob_requests(registry: RunningRegistry) -> list[dict[str, object]]:
    return [line for line in registry.requests() if "/blobs/" in str(line["http.request.uri"])]
