"""Pods that compute as one vLLM: what head and members say to one another, and who is of the group; pure.

A group has one head and `size` - 1 members. `assembly` is the head's end of what is said here, `tether` a member's:
JSON, one message a line. Only a whole group gets places, so all start at once.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import orjson

MAX_LINE_BYTES: Final = 1024
"""The longest line that either side reads."""


@dataclass(frozen=True)
class Hello:
    """A member's first word: of which revision it is. Pods of two revisions never compute together."""

    revision: str


@dataclass(frozen=True)
class Welcome:
    """The head's answer: there is a place, and `missing` others have still to come."""

    missing: int


@dataclass(frozen=True)
class Refusal:
    """The head's other answer; the member may ask again later."""

    why: str


@dataclass(frozen=True)
class Place:
    """Where a pod stands in a group that is whole, and where vLLM's processes meet.

    `rank` is that of the pod, 0 for the head; `address` and `port` are the head's.
    """

    rank: int
    size: int
    address: str
    port: int


@dataclass(frozen=True)
class Leaving:
    """A member's last word: it has to end, and waits until what runs has ended."""


Message = Hello | Welcome | Refusal | Place | Leaving
_WORDS: Final[Mapping[type[Message], str]] = {
    Hello: "hello",
    Welcome: "welcome",
    Refusal: "refusal",
    Place: "place",
    Leaving: "leaving",
}


class Garbled(ValueError):  # noqa: N818 - says what the line is
    """A line that is no message."""


def render_message(message: Message) -> bytes:
    """The message as a line."""
    return orjson.dumps({"word": _WORDS[type(message)], **asdict(message)}) + b"\n"


def parse_message(line: bytes) -> Message:
    """The message that stands in a line. Raises Garbled."""
    try:
        read: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Garbled("no JSON") from error
    match read:
        case {"word": "hello", "revision": str(revision)}:
            return Hello(revision)
        case {"word": "welcome", "missing": int(missing)}:
            return Welcome(missing)
        case {"word": "refusal", "why": str(why)}:
            return Refusal(why)
        case {"word": "place", "rank": int(rank), "size": int(size), "address": str(address), "port": int(port)}:
            if 0 < rank < size and 0 < port < 65536 and _is_address(address):
                return Place(rank, size, address, port)
        case {"word": "leaving"}:
            return Leaving()
    raise Garbled("no message that is known here")


@dataclass(frozen=True)
class Member:
    """A pod that has joined: `number` counts those who did, `address` is where it was seen."""

    number: int
    address: str


@dataclass(frozen=True)
class Roster:
    """Who is of the group, in the order of their ranks. `has_started` says whether they have their places."""

    size: int
    revision: str
    members: tuple[Member, ...] = ()
    has_started: bool = False

    @property
    def missing(self) -> int:
        """How many have still to come."""
        return self.size - 1 - len(self.members)

    def judge(self, hello: Hello) -> Welcome | Refusal:
        """What a pod that wants to join is told."""
        if hello.revision != self.revision:
            return Refusal(f"this head is of revision {self.revision!r}, and you are of {hello.revision[:64]!r}")
        if self.missing == 0:
            return Refusal(f"the group of {self.size} pods is whole")
        return Welcome(self.missing - 1)

    def joined_by(self, member: Member) -> "Roster":
        """The group with one more."""
        return replace(self, members=(*self.members, member))

    def left_by(self, member: Member) -> "Roster":
        """The group without one, whose place is free for another."""
        return replace(self, members=tuple(one for one in self.members if one != member))

    def start(self) -> "Roster":
        """The group whose members have their places."""
        return replace(self, has_started=True)

    def rank(self, member: Member) -> int:
        """The rank that a member has, once the group is whole."""
        return self.members.index(member) + 1


def describe_loss(roster: Roster, member: Member) -> str:
    """Why a head ends whose member is gone."""
    return (
        f"Member {roster.rank(member)} of the group, at {member.address}, is gone, and without it nothing can be "
        f"computed. The group of {roster.size} pods starts anew; why it went, its own log or node tells."
    )


def plain_address(text: str) -> str:
    """An address of a socket as others can use it: an IPv4 that came in by an IPv6 socket is an IPv4."""
    address = ipaddress.ip_address(re.sub(r"%.*", "", text))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
