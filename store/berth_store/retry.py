"""When a failed request is tried again: the rule as values, and the counter that follows it.

Everyone who talks to a registry holds an `Attempts` for each thing that must come through (a manifest, a chunk). What
arrives counts: a connection that breaks after a good stretch has not used up an attempt, one that drips a byte has.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from berth_store.errors import SourceError, SourceUnreachable

PROGRESS_BYTES = 1024 * 1024
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long. A Retry-After beyond `longest_wait_seconds` is not waited for: the error goes up."""

    attempts: int = 6
    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 15.0
    longest_wait_seconds: float = 120.0


class Attempts:
    """Counts the failures of one undertaking and waits between them."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._received_bytes = 0

    def received(self, count_bytes: int) -> None:
        """Note bytes that came through; enough of them forgive the failures so far."""
        self._received_bytes += count_bytes
        if self._received_bytes >= PROGRESS_BYTES:
            self._failures = self._received_bytes = 0

    async def pause_after(self, error: SourceError) -> None:
        """Wait before the next attempt, or raise `error` if there shall be none."""
        self._failures += 1
        self._received_bytes = 0
        if not is_worth_retrying(error) or self._failures >= self._policy.attempts:
            raise error
        asked = error.retry_after_seconds or 0.0
        if asked > self._policy.longest_wait_seconds:
            raise error
        await asyncio.sleep(max(asked, delay_seconds(self._policy, self._failures, random.random())))  # noqa: S311 - jitter


def is_worth_retrying(error: SourceError) -> bool:
    """Only what may pass by itself: not a refusal, a missing blob or an untrusted certificate."""
    return isinstance(error, SourceUnreachable) and not error.permanent


def delay_seconds(policy: RetryPolicy, failures: int, chance: float) -> float:
    """The pause after the n-th failure in a row: doubling, capped, spread over its upper half by `chance` (0 to 1)."""
    longest = min(policy.first_delay_seconds * 2.0 ** (failures - 1), policy.longest_delay_seconds)
    return longest * (0.5 + chance / 2)


async def with_retries(policy: RetryPolicy, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
    """The result of `attempt`, tried as often as `policy` allows."""
    attempts = Attempts(policy)
    while True:
        try:
            return await attempt()
        except SourceError as error:
            await attempts.pause_after(error)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header, given as a number or a date; None if it says nothing usable."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
