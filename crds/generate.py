"""Writes what is generated from types and tables: CRDs, field reference, the HTTP API's document. `make crds` calls it.

With `--check` nothing is written; the exit code says whether the files are what the types say.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from berth_api.crd import build_crds
from berth_api.reference import render_reference
from berth_api.schema import KINDS
from berth_runtime.openapi.document import build_document
from berth_runtime.openapi.reference import render_json, render_page

ROOT = Path(__file__).resolve().parent.parent
_HEADER = "# Written by `make crds` from the types in api/berth_api; edit those.\n"


class _Dumper(yaml.SafeDumper):
    """Writes every value out: anchors would be an oddity in a file that people read and tools patch."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is yaml's
        return True


def build_files() -> dict[Path, str]:
    """Every generated file, by its path from the root of the repository."""
    crds = {Path("crds", name): render_crd(crd) for name, crd in build_crds().items()}
    pages = {Path("docs", "reference", f"{kind.lower()}.md"): render_reference(kind) for kind in KINDS}
    document = build_document()
    api = {
        Path("api", "berth_api", "openapi.json"): render_json(document) + "\n",
        Path("docs", "reference", "http.md"): render_page(document),
    }
    return crds | pages | api


def render_crd(crd: Mapping[str, Any]) -> str:
    """A CRD as YAML, in the order in which it was built."""
    text: str = yaml.dump(dict(crd), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return _HEADER + text


def stale_files(files: Mapping[Path, str], root: Path) -> tuple[Path, ...]:
    """The files below `root` that are missing or say something else."""
    return tuple(path for path, text in files.items() if not _says(root / path, text))


def _says(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def write_files(files: Mapping[Path, str], root: Path) -> None:
    """Write them all."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Write, or check; 1 means that a file is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a file is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    given = parser.parse_args(arguments)
    files = build_files()
    stale = stale_files(files, given.root)
    if given.check:
        for path in stale:
            sys.stderr.write(f"{path} is not what the types and tables say; run `make crds`\n")
        return 1 if stale else 0
    write_files(files, given.root)
    for path in stale:
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
