"""A program that loads a GGUF file by xllamacpp, generates one token, and says when: the least cold start there is.

`python -m bench.peers.cold_xllamacpp SETTINGS` writes one line of JSON with times of the system's monotonic clock.
"""

import time

BEGAN = time.monotonic()

import json  # noqa: E402 - what is imported is measured
import os  # noqa: E402
import sys  # noqa: E402

from bench.peers.xllamacpp_bare import Settings, create_server, stream  # noqa: E402

IMPORTED = time.monotonic()


def main() -> None:
    """Load and generate."""
    settings, body = Settings(**json.loads(sys.argv[1])), sys.argv[2].encode()
    server = create_server(settings)
    loaded = time.monotonic()
    stream(server, body)
    answered = time.monotonic()
    print(json.dumps({"began": BEGAN, "imported": IMPORTED, "loaded": loaded, "answered": answered}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
