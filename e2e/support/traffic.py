"""A stream of requests that goes on while something else happens, and what became of each of them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

import openai

from e2e.support.until import until

EVERY_SECONDS = 0.05
REQUEST_SECONDS = 30.0


@dataclass
class Outcome:
    """What became of the requests; each failure with the second, from the start, at which it was sent."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise AssertionError, with the first failures, if there was any."""
        count = len(self.failures)
        assert not count, f"{count} of {count + self.answered} requests failed:\n" + "\n".join(self.failures[:20])


class Traffic:
    """Embeddings asked by the official client without retries, from two threads that keep connections open."""

    def __init__(self, address: str, model: str, *, threads: int = 2) -> None:
        self.outcome = Outcome()
        self._address, self._model = address, model
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        self.more(5)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(REQUEST_SECONDS)

    def more(self, count: int) -> None:
        """Wait until so many more requests were answered, failed ones not counted."""
        goal = self.outcome.answered + count
        until(
            lambda: self.outcome.answered >= goal, seconds=60, what=f"{count} more answers", seen=lambda: self.outcome
        )

    def _run(self) -> None:
        with openai.OpenAI(
            base_url=f"http://{self._address}/v1", api_key="none", max_retries=0, timeout=REQUEST_SECONDS
        ) as client:
            while not self._stop.wait(EVERY_SECONDS):
                self._ask(client)

    def _ask(self, client: openai.OpenAI) -> None:
        sent = time.monotonic() - self._started
        try:
            client.embeddings.create(model=self._model, input="ready or not", encoding_format="float")
        except openai.OpenAIError as error:
            with self._lock:
                self.outcome.failures.append(f"{sent:.1f} s: {type(error).__name__}: {error} {error.__cause__ or ''}")
        else:
            with self._lock:
                self.outcome.answered += 1


@contextmanager
def no_request_fails(address: str, model: str) -> Iterator[Traffic]:
    """Requests go on during the block, and none of them may fail."""
    with Traffic(address, model) as traffic:
        yield traffic
        traffic.more(10)
    traffic.outcome.check()
