"""vLLM's own router (Rust), twice: with its default policy, and with the policy that costs it least.

Its default (`cache_aware`) keeps a tree of the prompts; `round_robin` keeps nothing. Otherwise it is set up to do as
little as it can: one upstream, hardly a log. It forwards whatever model the body names; ours finds the model in the
body and refuses the ones that it does not know.
"""

from pathlib import Path

ENVIRONMENT = {"TOKIO_WORKER_THREADS": "1", "RUST_LOG": "error"}


def command(program: Path, *, port: int, metrics_port: int, upstream_port: int, policy: str | None) -> tuple[str, ...]:
    """What starts it on 127.0.0.1:`port`; `policy` is None for its default."""
    return (
        str(program),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--worker-urls", f"http://127.0.0.1:{upstream_port}"),
        *(("--policy", policy) if policy else ()),
        *("--log-level", "error", "--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics_port)),
    )
