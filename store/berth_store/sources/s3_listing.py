"""One page of a bucket's list, and S3's error bodies, read from XML within bounds. Pure.

XML from elsewhere may not declare anything: entities are how a few bytes become gigabytes, and S3 never sends any.
"""

from dataclasses import dataclass
from xml.etree import ElementTree

from berth_store.errors import SourceUnreachable

MAX_PAGE_BYTES = 8 * 1024 * 1024
_MAX_SIZE = 1 << 50


@dataclass(frozen=True)
class BucketObject:
    """One object: its key, its size, and its entity tag, quoted as headers have it."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class Page:
    """Some objects, and the token that asks for those after them; empty for the last page."""

    objects: tuple[BucketObject, ...]
    next_token: str = ""


def parse_page(content: bytes, origin: str) -> Page:
    """A ListBucketResult of version 2. Raises SourceUnreachable for anything else."""
    root = _parse(content)
    if root is None or _tag(root) != "ListBucketResult":
        raise _unreadable(origin, "it is no ListBucketResult")
    objects = tuple(_object(child, origin) for child in root if _tag(child) == "Contents")
    token = _text(root, "NextContinuationToken") if _text(root, "IsTruncated") == "true" else ""
    if _text(root, "IsTruncated") == "true" and not token:
        raise _unreadable(origin, "it is cut, and names no continuation")
    return Page(objects, token)


def parse_error(content: bytes) -> tuple[str, str, str]:
    """The code, message and region of an error's body; empty where it has none."""
    root = _parse(content)
    if root is None or _tag(root) != "Error":
        return "", "", ""
    said = "".join(each if each.isprintable() else " " for each in _text(root, "Message"))
    return _text(root, "Code")[:64], said[:300], _text(root, "Region")[:32]


def _object(element: ElementTree.Element, origin: str) -> BucketObject:
    key, size, etag = _text(element, "Key"), _text(element, "Size"), _text(element, "ETag")
    if not key or not size.isdecimal() or len(size) > 16 or int(size) > _MAX_SIZE or not etag:
        raise _unreadable(origin, "an object has no key, size or ETag")
    return BucketObject(key, int(size), etag if etag.startswith('"') else f'"{etag}"')


def _parse(content: bytes) -> ElementTree.Element | None:
    if b"<!" in content or b"\x00" in content:
        return None
    try:
        return ElementTree.fromstring(content)  # noqa: S314 - it declares nothing, see above
    except ElementTree.ParseError:
        return None


def _tag(element: ElementTree.Element) -> str:
    """The name without its namespace, which compatible servers leave out."""
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    return next((child.text or "" for child in element if _tag(child) == name), "")


def _unreadable(origin: str, why: str) -> SourceUnreachable:
    return SourceUnreachable(
        f"{origin}: the list of the bucket can't be read, {why}; is the endpoint a server that speaks S3?",
        permanent=True,
    )
