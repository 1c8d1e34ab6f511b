"""Names inside a model's folder, believed only as far as the folder goes: used by readers whose files name other files.

A name in a header must be relative and lead to a regular file of the folder. A link may lead to another place in the
folder, or into the `blobs` of the content-addressed store that holds the folder (`<store>/views/<id>` here,
`<model>/snapshots/<id>` in the cache of Hugging Face); any other link is refused, for what it names is not the model's.
"""

import os
import stat
from pathlib import Path, PurePosixPath

from berth_api.errors import UnsupportedModel

MAX_NAME_BYTES = 4096
REMEDY_NAME = "put the file into the model's folder and name it from there"


def resolve_inside(root: Path, name: str, what: str, *, base: Path | None = None) -> Path:
    """The path of the model's file called `name`; `what` says who names it, for the error.

    `root` is the model's folder, `base` the folder in it from which the name counts, if another.
    """
    parts = PurePosixPath(name).parts
    if not parts or len(name.encode(errors="replace")) > MAX_NAME_BYTES or "\0" in name:
        raise UnsupportedModel(f"{what} names a file by an empty, overlong or broken name; {REMEDY_NAME}")
    if name.startswith("/") or "\\" in name or ".." in parts or ":" in parts[0]:
        raise UnsupportedModel(f"{what} names {name!r}, which is outside the model's folder; {REMEDY_NAME}")
    path = (base or root).joinpath(*parts)
    if not is_own_file(root, path):
        raise UnsupportedModel(f"{what} names {name!r}, which is no file of the model's folder; {REMEDY_NAME}")
    return path


def is_own_file(root: Path, path: Path) -> bool:
    """Whether `path` is a regular file that belongs to the folder `root`."""
    try:
        target = Path(os.path.realpath(path, strict=True))
        if not stat.S_ISREG(os.stat(target).st_mode):
            return False
        home = Path(os.path.realpath(root, strict=True))
    except (OSError, ValueError):
        return False
    return target.is_relative_to(home) or target.is_relative_to(home.parent.parent / "blobs")
