"""What tests of vLLM in pods have in common: weights in the cluster's registry, and a stream that is under way."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster.node import Node
from e2e.support.client_pod import ClientPod
from e2e.support.objects import Json, name_of
from e2e.support.programs import berth, berth_environment, kubectl
from e2e.support.until import until

STREAM_SECONDS = 700.0


def push_weights(weights: Path, node: Node, home: Path) -> str:
    """Package a folder and push it, as a user would; the source's uri."""
    assert "vllm" in node.images, "its image is not in the registry: run `make nightly`"
    artifact = f"{node.registry}/vllm/{weights.name}:1"
    environment = berth_environment(home, node.registry)
    berth("package", str(weights), "--tag", artifact, "--push", environment=environment)
    return f"oci://{artifact}"


@contextmanager
def stream_until_the_end(client: ClientPod, model: str, pod: Json, *, tokens: int) -> Iterator[None]:
    """A stream that the pod answers during the block, and that must have all its tokens in spite of the block."""
    script = f"""
stream = client.chat.completions.create(
    model={model!r}, messages=[{{"role": "user", "content": "Count."}}], max_tokens={tokens}, stream=True,
    stream_options={{"include_usage": True}}, extra_body={{"ignore_eos": True}},
)
*events, last = stream
say([events[-1].choices[0].finish_reason, last.usage.completion_tokens])
"""
    status = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{name_of(pod)}:8000/proxy/status"
    with ThreadPoolExecutor(1) as beside:
        streaming = beside.submit(client.ask, script, seconds=STREAM_SECONDS)
        until(lambda: '"inFlight":1' in kubectl("get", "--raw", status).replace(" ", ""), seconds=60, what="it streams")
        yield
        assert not streaming.done(), "the stream was too short to show anything"
        assert streaming.result() == ["length", tokens]
