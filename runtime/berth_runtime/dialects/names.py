"""What the client calls the fields that a chat was made of, for errors that the chat's own checks and engines find."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from berth_runtime.engines.protocol import Failure
from berth_runtime.openai.errors import ApiError

# Where a path has a shorter one that it lies within.
_ENDS: Final = ".["


@dataclass(frozen=True)
class Names:
    """`fields` has the chat's names of fields and of kinds of parts, `places` its paths into the messages."""

    fields: Mapping[str, str]
    places: Mapping[str, str]

    def blame(self, failure: Failure) -> Failure:
        """The failure, naming what the client sent."""
        message, param = failure.message, failure.param
        if param is not None:
            theirs = self._theirs(param)
            message, param = message.replace(f"'{param}'", f"'{theirs}'"), theirs
        for ours, theirs in self.fields.items():
            message = message.replace(f"'{ours}'", f"'{theirs}'")
        return replace(failure, message=message, param=param)

    def blame_error(self, error: ApiError) -> ApiError:
        """The same for an error that is on its way."""
        return ApiError(self.blame(error.failure), retry_after_seconds=error.retry_after_seconds)

    def _theirs(self, param: str) -> str:
        if param in self.fields:
            return self.fields[param]
        at = len(param)
        while at > 0:
            if param[:at] in self.places:
                return self.places[param[:at]] + param[at:]
            at = max(param.rfind(end, 0, at) for end in _ENDS)
        return param
