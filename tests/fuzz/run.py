"""Damages samples for some time and holds what comes back to one rule: taken or refused in the words that are there for
it, in bounded time and memory. Anything else is a finding, with the bytes in hex."""

import resource
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.fuzz.mutations import mutate

MAX_SECONDS_A_SAMPLE = 5.0
MAX_GROWTH_BYTES = 256 << 20


@dataclass(frozen=True)
class Sample:
    """Something valid to start from.

    `read` gives bytes to each of its readers and says of each whether it took them; whatever it raises is a finding.
    `refusals` is how many of them refuse the sample as it is. `mend` makes a damage look whole, where a checksum would
    hide what lies behind.
    """

    name: str
    content: bytes
    read: Callable[[bytes], Iterable[bool]]
    refusals: int = 0
    mend: Callable[[bytes], bytes] = bytes


@dataclass(frozen=True)
class Finding:
    """What broke the rule: whose sample it was, its bytes, and what happened."""

    name: str
    content: bytes
    what: str

    def __str__(self) -> str:
        return f"{self.name} ({len(self.content)} bytes): {self.what}\nhex: {self.content.hex()}"


@dataclass
class Tally:
    """What a run did."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def fuzz(samples: Sequence[Sample], *, seconds: float, seed: int, most_readings: float = float("inf")) -> Tally:
    """Damage the samples for some seconds, or until there were so many readings; it stops at the first finding."""
    random, tally = Random(seed), Tally()
    for sample in samples:
        tally.outcomes["valid"] += 1
        tally.findings += _judge_valid(sample)
    memory = _peak_bytes()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and not tally.findings and tally.outcomes.total() < most_readings:
        sample = random.choice(samples)
        content = mutate(random, sample.content)
        content = sample.mend(content) if random.getrandbits(1) else content
        finding = _judge(sample, content, tally)
        if finding is None and (grown := _peak_bytes() - memory) > MAX_GROWTH_BYTES:
            finding = Finding(sample.name, content, f"memory grew by {grown:,} bytes")
        tally.findings += [finding] if finding else []
    return tally


def _judge_valid(sample: Sample) -> list[Finding]:
    """One that is refused would make the run worthless."""
    tally = Tally()
    finding = _judge(sample, sample.content, tally)
    refusals = tally.outcomes["refused"]
    if finding is None and refusals != sample.refusals:
        finding = Finding(sample.name, sample.content, f"{refusals} of its readers refuse what is valid")
    return [finding] if finding else []


def _judge(sample: Sample, content: bytes, tally: Tally) -> Finding | None:
    began = time.process_time()
    try:
        for taken in sample.read(content):
            tally.outcomes["accepted" if taken else "refused"] += 1
    except Exception:  # noqa: BLE001 - whatever a reader raises besides its one error is the finding
        return Finding(sample.name, content, traceback.format_exc())
    took = time.process_time() - began
    return Finding(sample.name, content, f"took {took:.1f} seconds") if took > MAX_SECONDS_A_SAMPLE else None


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
