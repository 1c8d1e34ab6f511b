"""vLLM's own router (Rust), set up to do as little as it can: one upstream, the cheapest policy, hardly a log.

It forwards whatever model the body names; ours finds the model in the body and refuses the ones that it does not know.
"""

from pathlib import Path

ENVIRONMENT = {"TOKIO_WORKER_THREADS": "1", "RUST_LOG": "error"}


def command(program: Path, *, port: int, metrics_port: int, upstream_port: int) -> tuple[str, ...]:
    """What starts it on 127.0.0.1:`port`."""
    return (
        str(program),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--worker-urls", f"http://127.0.0.1:{upstream_port}"),
        *("--policy", "round_robin", "--log-level", "error"),
        *("--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics_port)),
    )
