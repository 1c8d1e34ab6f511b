"""The life of one model, as pure transitions: what happened goes in, the new life with its next delay comes out.

`berth_runtime.served` carries it out. A model that was Ready and whose worker died is `Restarting`; one that does not
come up is `Failed`. Both are tried again, unless it never answered and trying can't help (a damaged file stays damaged;
one that served before may only be out of reach).
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

FIRST_DELAY_SECONDS: Final = 0.5
LONGEST_DELAY_SECONDS: Final = 30.0
# Who was Ready for so long starts anew: an old failure says nothing about the next one.
STEADY_SECONDS: Final = 60.0


class State(StrEnum):
    """What `/status` calls the state of a model."""

    LOADING = "Loading"
    READY = "Ready"
    FAILED = "Failed"
    RESTARTING = "Restarting"
    DRAINING = "Draining"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a model stands at this moment, in figures: `running` of its `places` are taken, `queued` requests wait."""

    name: str
    state: State
    running: int = 0
    queued: int = 0
    places: int = 0
    restarts: int = 0


@dataclass(frozen=True)
class Cause:
    """Why a model is not there: a sentence for people, and whether another try can't help."""

    sentence: str
    permanent: bool = False


@dataclass(frozen=True)
class Life:
    """Where a model stands. `failures` counts those in a row; `again_after_seconds` is None where nothing is due."""

    state: State = State.LOADING
    message: str = ""
    restarts: int = 0
    failures: int = 0
    has_answered: bool = False
    ready_since: float | None = None
    again_after_seconds: float | None = None


def after_answer(life: Life, now: float) -> Life:
    """The worker has answered once."""
    return replace(life, state=State.READY, message="", has_answered=True, ready_since=now, again_after_seconds=None)


def after_failure(life: Life, cause: Cause, now: float) -> Life:
    """The worker is gone, or the model could not be made out."""
    was_ready = life.ready_since is not None
    steady = life.ready_since is not None and now - life.ready_since >= STEADY_SECONDS
    failures = 1 if steady else life.failures + 1
    return replace(
        life,
        state=State.RESTARTING if was_ready else State.FAILED,
        message=cause.sentence,
        failures=failures,
        ready_since=None,
        again_after_seconds=None if cause.permanent and not life.has_answered else delay_seconds(failures),
    )


def after_restart(life: Life) -> Life:
    """Another worker was started; the last failure's message stays until this one answers."""
    return replace(life, state=State.RESTARTING, restarts=life.restarts + 1, again_after_seconds=None)


def delay_seconds(failures: int) -> float:
    """The wait after so many failures in a row: doubled each time, bounded."""
    return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 16))
