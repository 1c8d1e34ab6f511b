"""The agent of a pod as a process, with a real Envoy, following a cluster."""

import asyncio
import time

import pytest
from cluster_gateway import gateway_pod
from fake_engine import running_engine

pytestmark = pytest.mark.needs("envoy")


async def test_a_model_that_becomes_ready_is_routed_within_a_second() -> None:
    async with running_engine("qwen") as engine, gateway_pod() as pod:
        await pod.becomes("/health/ready", 200)
        pod.declare("qwen")
        await asyncio.wait_for(_loads(pod, "qwen"), 5)
        pod.expose("qwen", engine)
        began = time.monotonic()
        await pod.answers("qwen")
        assert time.monotonic() - began < 1


async def _loads(pod, name):
    while (await pod.ask(name)).status != 503:
        await asyncio.sleep(0.02)
