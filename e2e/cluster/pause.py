"""The image that every pod's sandbox runs, made from one static program, because no registry can be asked for one."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

REFERENCE = "localhost/pause:1"


def build_archive(program: bytes) -> bytes:
    """An image archive (the layout of `docker save`) whose one file is `program`, as /pause."""
    layer = _tar({"pause": program}, mode=0o755)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [REFERENCE], "Layers": ["layer.tar"]}]
    files = {"layer.tar": layer, "config.json": _json(config), "manifest.json": _json(manifest)}
    return _tar(files, mode=0o644)


def write_archive(program: Path, archive: Path) -> None:
    """Write the image of `program` to the file `archive`."""
    archive.write_bytes(build_archive(program.read_bytes()))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
