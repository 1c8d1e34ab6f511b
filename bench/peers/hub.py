"""`huggingface_hub` beside a registry: a front that speaks its API, and the client that pulls from it.

The front answers what the library asks first (which files there are, and their digests) and sends every download on to
the registry's own blob, as the hub sends it on to its CDN: the bytes come from the same server by the same code.
`python -m bench.peers.hub serve …` is the front, `python -m bench.peers.hub pull …` the client.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

REPOSITORY = "bench/model"
COMMIT = "0" * 40


class Front:
    """The API of one repository; `blobs` gives URL, digest (hex of SHA-256) and size of each file."""

    def __init__(self, blobs: Mapping[str, tuple[str, str, int]]) -> None:
        self._blobs = blobs

    def application(self) -> web.Application:
        """What `huggingface_hub.snapshot_download` asks, and nothing else."""
        app = web.Application()
        app.router.add_get("/api/models/{owner}/{name}/revision/{revision}", self._info)
        app.router.add_get("/api/models/{owner}/{name}/tree/{revision}", self._tree)
        app.router.add_get("/{owner}/{name}/resolve/{revision}/{path:.+}", self._resolve)
        return app

    async def _info(self, _request: web.Request) -> web.Response:
        siblings = [{"rfilename": path} for path in self._blobs]
        return web.json_response({"id": REPOSITORY, "sha": COMMIT, "private": False, "siblings": siblings, "tags": []})

    async def _tree(self, _request: web.Request) -> web.Response:
        return web.json_response(
            [
                {
                    "type": "file",
                    "path": path,
                    "oid": digest,
                    "size": size,
                    "lfs": {"oid": digest, "size": size, "pointerSize": 134},
                }
                for path, (_, digest, size) in self._blobs.items()
            ]
        )

    async def _resolve(self, request: web.Request) -> web.Response:
        url, digest, size = self._blobs[request.match_info["path"]]
        headers = {
            "location": url,
            "etag": f'"{digest}"',
            "x-linked-etag": f'"{digest}"',
            "x-linked-size": str(size),
            "x-repo-commit": COMMIT,
        }
        return web.Response(status=302, headers=headers)


def pull(endpoint: str, into: Path) -> None:
    """Fetch the repository as the library does it for everybody."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - the front needs no such library

    snapshot_download(REPOSITORY, endpoint=endpoint, cache_dir=into)


def main() -> None:
    """Front or client."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.hub")
    modes = parser.add_subparsers(dest="mode", required=True)
    front = modes.add_parser("serve")
    front.add_argument("--port", type=int, required=True)
    front.add_argument("--listing", type=Path, required=True)
    client = modes.add_parser("pull")
    client.add_argument("--endpoint", required=True)
    client.add_argument("--into", type=Path, required=True)
    given = parser.parse_args()
    if given.mode == "pull":
        pull(given.endpoint, given.into)
        return
    listed = json.loads(given.listing.read_text())
    web.run_app(
        Front({path: tuple(blob) for path, blob in listed.items()}).application(),
        host="127.0.0.1",
        port=given.port,
        print=None,
        access_log=None,
    )


if __name__ == "__main__":
    main()
