"""A program that loads a GGUF file by xllamacpp, generates one token, and says when: the least cold start there is.

`python -m bench.peers.cold_xllamacpp SETTINGS BODY` writes one line of JSON with times of the system's monotonic clock.
"""

import json
import os
import sys
import time

from bench.peers.xllamacpp_bare import Settings, create_server, stream

IMPORTED = time.monotonic()


def main() -> None:
    """Load and generate."""
    settings, body = Settings(**json.loads(sys.argv[1])), sys.argv[2].encode()
    server = create_server(settings)
    loaded = time.monotonic()
    stream(server, body)
    answered = time.monotonic()
    print(json.dumps({"imported": IMPORTED, "loaded": loaded, "answered": answered}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
