"""What a registry says it wants: the WWW-Authenticate header (RFC 9110, section 11.6.1) as values. No IO.

One header may hold several challenges, and quoted values hold commas (`scope="repository:a:pull,push"`), so splitting
at commas does not do.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a token of HTTP's grammar
_SCHEME = re.compile(rf"[\s,]*+({_TOKEN})(?=[\s,]|$)(?!\s*=)")
_PARAMETER = re.compile(rf'[\s,]*+({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}|[^\s,"]+))')
MAX_HEADER_CHARACTERS = 8192


@dataclass(frozen=True)
class Challenge:
    """One way to prove oneself: `scheme` in lower case, and its parameters, names in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges of the WWW-Authenticate headers, in order; what can't be understood ends its header."""
    return tuple(challenge for header in headers for challenge in _parse_one(header[:MAX_HEADER_CHARACTERS]))


def _parse_one(header: str) -> Iterable[Challenge]:
    position = 0
    while scheme := _SCHEME.match(header, position):
        position = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            name, quoted, plain = parameter.groups()
            parameters[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            position = parameter.end()
        yield Challenge(scheme[1].lower(), parameters)
