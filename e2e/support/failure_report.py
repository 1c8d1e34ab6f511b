"""What a person would ask for first when a scenario fails: objects, events, and what Berth's own programs said."""

from collections.abc import Iterator, Sequence

from e2e.support.programs import run
from e2e.support.release import NAMESPACE

LINES = 80
_QUESTIONS: Sequence[Sequence[str]] = (
    ("get", "models,modelroutes", "-A", "-o", "wide"),
    ("get", "deployments,services,jobs,pods,leases", "-A", "-o", "wide"),
    ("get", "events", "-A", "--sort-by=.lastTimestamp"),
    ("logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=operator", "--prefix", f"--tail={LINES}"),
    ("logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=gateway", "--all-containers", f"--tail={LINES}"),
)


def build_report() -> Iterator[tuple[str, str]]:
    """Title and text of each part; what can't be asked says why instead."""
    for words in _QUESTIONS:
        done = run("kubectl", *words, seconds=20)
        lines = (done.out or done.err).splitlines()
        yield f"kubectl {' '.join(words)}", "\n".join(lines[:1] + lines[1:][-LINES:])
