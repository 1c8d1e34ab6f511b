"""Our gateway for the measurement: the agent, and Envoy under it, with one Model that the upstream serves.

`python -m bench.peers.berth_gateway SETTINGS` runs until SIGTERM, as the laptop's supervisor would run it.
"""

import asyncio
import json
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from berth_api.manifest import parse_object
from berth_api.model import Model
from berth_gateway.agent import Agent
from berth_gateway.envoy import envoy_command
from berth_gateway.settings import GatewaySettings
from berth_gateway.snapshot import Endpoint, ModelState, Phase, Snapshot, build_snapshot


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where to listen, where the upstream is, and under which name it serves."""

    run_dir: str
    port: int
    upstream_port: int
    model: str

    def as_argument(self) -> str:
        """The one argument of this program."""
        return json.dumps(asdict(self))


def one_model(settings: Settings) -> Snapshot:
    """What a manifest with one Model becomes when its engine is ready."""
    manifest = {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "Model",
        "metadata": {"name": settings.model},
        "spec": {"source": {"uri": f"oci://localhost/{settings.model}"}},
    }
    model = parse_object(manifest)
    assert isinstance(model, Model)
    ready = ModelState(Phase.READY, (Endpoint("127.0.0.1", settings.upstream_port),))
    return build_snapshot([model], [], {model.key: ready})


async def serve(settings: Settings) -> None:
    """Start agent and Envoy, give Envoy its configuration, and wait to be stopped."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    gateway = GatewaySettings(run_dir=Path(settings.run_dir), port=settings.port, workers=1)
    agent = Agent(gateway)
    await agent.start()
    envoy = await asyncio.create_subprocess_exec(*envoy_command(gateway))
    await agent.apply(one_model(settings))
    await stopped.wait()
    envoy.terminate()
    await envoy.wait()
    await agent.stop()


if __name__ == "__main__":
    asyncio.run(serve(Settings(**json.loads(sys.argv[1]))))
