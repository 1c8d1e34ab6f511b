"""Names of files from elsewhere: what is wrong with one, and when two are the same somewhere.

Manifests, archives and images name files by the same rules. Nothing is ever cleaned up or renamed: what an engine reads
must be what was packaged, so a name is taken as it is or the whole artifact is refused.
"""

import unicodedata

MAX_NAME_BYTES = 1024
MAX_PART_BYTES = 255
MAX_DEPTH = 16


def name_fault(name: str) -> str | None:
    """What is wrong with a relative name; the first rule that is broken, as the end of the sentence "the name …"."""
    parts = name.split("/")
    rules = (
        (name.startswith("/"), "is absolute"),
        ("\\" in name, "has a backslash"),
        (not name.isprintable(), "has characters that can't be printed"),
        (any(part in {"", ".", ".."} for part in parts), "has an empty, '.' or '..' part"),
        (len(parts) > MAX_DEPTH, f"is nested deeper than {MAX_DEPTH}"),
        (len(name.encode(errors="replace")) > MAX_NAME_BYTES, f"is longer than {MAX_NAME_BYTES} bytes"),
        (any(len(part.encode(errors="replace")) > MAX_PART_BYTES for part in parts), "has an overlong part"),
    )
    return next((fault for broken, fault in rules if broken), None)


def folded(name: str) -> str:
    """The same text for names that some file system takes for the same."""
    return unicodedata.normalize("NFC", name.casefold())
