"""`berth pull` and `berth up` with models from Hugging Face, S3 and web servers, as a user runs them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import tools
from gguf_builders import llama_gguf
from laptop import Laptop, laptop_in
from lying_bucket import FakeBucket
from lying_hub import FakeHub
from lying_site import sha256
from lying_web import FakeWeb

from berth_store.sources.identity import content_digest

pytestmark = pytest.mark.timeout(240)
GGUF = llama_gguf()


@pytest.fixture
async def laptop() -> AsyncIterator[Laptop]:
    async with laptop_in() as one:
        yield one


async def test_a_pull_says_the_digest_that_a_model_may_pin(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeHub() as hub:
        hub.hold("org/model-gguf", {"m-Q4_1.gguf": GGUF, "m-Q8_0.gguf": GGUF + bytes(32), "README.md": b"x"})
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        asked = await laptop.run("pull", "hf://org/model-gguf")
        assert asked.code == 1
        assert "write one after a colon at the end of the address: Q4_1, Q8_0" in asked.err
        pulled = await laptop.run("pull", "hf://org/model-gguf:Q4_1")
        assert pulled.code == 0, pulled.err
        pin = content_digest([("m-Q4_1.gguf", len(GGUF), f"sha256:{sha256(GGUF)}")])
        assert pulled.out.splitlines()[-1] == f"hf://org/model-gguf:Q4_1: {pin}"
        again = await laptop.run("pull", f"hf://org/model-gguf:Q4_1@{pin}")
        assert again.code == 0, again.err
        chosen = await laptop.run("pull", "hf://org/model-gguf", "--files", "*Q8_0*", "--files", "*.md")
        assert chosen.code == 0, chosen.err
    listed = json.loads((await laptop.run("list", "--json")).out)
    names = sorted(tag for model in listed for tag in model["tags"])
    assert names == ["hf://org/model-gguf#*.md&*Q8_0*", "hf://org/model-gguf:Q4_1", f"hf://org/model-gguf:Q4_1@{pin}"]


async def test_a_pull_from_a_web_server_and_from_a_bucket(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeWeb({"/m.gguf": GGUF}) as site, FakeBucket() as bucket:
        bucket.hold("models", {"m/m.gguf": GGUF})
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        pulled = [await laptop.run("pull", name) for name in (site.uri("/m.gguf"), "s3://models/m")]
    assert [each.code for each in pulled] == [0, 0], [each.err for each in pulled]
    assert len({each.out.split()[-1] for each in pulled}) == 1, "the same file is the same digest, wherever it lay"
    (row,) = json.loads((await laptop.run("list", "--json")).out)
    assert len(row["tags"]) == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf://a/b/c", "write hf://organisation/model"),
        ("gs://bucket/model", "nothing is fetched from gs://"),
        ("s3://models/m", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
async def test_a_mistake_is_a_sentence(laptop: Laptop, monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    async with FakeBucket() as bucket:
        bucket.hold("models", {"m/m.gguf": GGUF})
        monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.address)
        done = await laptop.run("pull", name)
    assert done.code != 0
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.needs("envoy", "smollm2")
async def test_a_model_of_the_hub_answers(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tools.find("smollm2")
    assert weights is not None
    manifest = """\
apiVersion: berth.dev/v1alpha1
kind: Model
metadata: {name: smol}
spec:
  source: {uri: "hf://org/smollm2:Q4_1"}
  contextLength: 512
"""
    async with FakeHub() as hub:
        files = {"smollm2-Q4_1.gguf": await asyncio.to_thread(Path(weights).read_bytes), "smollm2-Q8_0.gguf": b"x"}
        hub.hold("org/smollm2", files)
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        await laptop.up(laptop.write(manifest))
        async with openai.AsyncOpenAI(base_url=laptop.base_url, api_key="none") as client:
            answer = await client.chat.completions.create(
                model="smol", messages=[{"role": "user", "content": "Say hello."}], max_tokens=4, temperature=0
            )
        assert answer.choices[0].message.content
        assert hub.cdn.spans_of(sha256(files["smollm2-Q4_1.gguf"])), "it came in ranges from the hub's other host"
