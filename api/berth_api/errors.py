"""The error tree that every room shares.

    BerthError
    ├── InvalidSpec        the user's manifest or argument can't be carried out until it is edited
    ├── UnsupportedModel   the artifact is no model that an engine here serves, or it is damaged
    │   └── PickleRefused  its weights are pickles, and nobody has said that they may be
    └── Unavailable        right now it can't be done; trying again later may help

Each carries what went wrong, why, and what to do, so that a condition, a CLI line and an OpenAI error can all be
made from the same object.
"""

from dataclasses import dataclass


class BerthError(Exception):
    """An error whose message is written for the person who reads it."""


@dataclass(frozen=True)
class FieldError:
    """One field of a manifest that is wrong.

    `path` is the way to the field as users write it (`spec.rules[0].backends[1].weight`), `message` says what is
    wrong with the value, `remedy` says what would be right, `reason` is the reason of the condition it becomes.
    """

    path: str
    message: str
    remedy: str
    reason: str = "InvalidSpec"

    def __str__(self) -> str:
        return f"{self.path}: {self.message}; {self.remedy}"


class InvalidSpec(BerthError):  # noqa: N818 - the name of the condition reason, one word for one thing
    """A manifest or argument that can't be carried out as it stands; `errors` holds every wrong field."""

    def __init__(self, *errors: FieldError) -> None:
        self.errors = errors
        super().__init__("\n".join(str(error) for error in errors))


class UnsupportedModel(BerthError):  # noqa: N818 - reads as the condition it becomes
    """A file or folder that no engine can serve: unknown, damaged, truncated, or refused for safety."""


class PickleRefused(UnsupportedModel):
    """Weights that are Python pickles, of an artifact that is not trusted to have some."""

    REMEDY = "set `spec.trust.pickle` if you know who made them"


class Unavailable(BerthError):  # noqa: N818 - reads as the condition it becomes
    """Something outside refused or failed for now; `retry_after_seconds` says when to try again, if known."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)
