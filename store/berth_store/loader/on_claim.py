"""`python -m berth_store.loader.on_claim --source pvc://…`: sees that a model on a claim is still what was resolved.

It runs before the engine, as the loader does for models that are fetched. Ends with 0, or with 1 and a termination
message that says what has changed.
"""

import argparse
import sys
from pathlib import Path

from berth_api.errors import BerthError
from berth_store.digest import parse_digest
from berth_store.on_claim import digest_on_claim, find_on_claim, list_on_claim, parse_on_claim
from berth_store.signals import end_at_once_on_signals
from berth_store.termination import DEFAULT_LOG, end_with


def main() -> int:
    """Look and tell; the exit status."""
    asked = build_parser().parse_args()
    end_at_once_on_signals()
    try:
        place = parse_on_claim(asked.source)
        path = find_on_claim(asked.volume, place)
        digest_on_claim(list_on_claim(path, place), place, parse_digest(asked.digest, path="--digest"))
    except (BerthError, OSError) as error:
        return end_with(error, asked.termination_log)
    sys.stdout.write(f"the model lies at {path}, as it was found\n")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The options and their words."""
    parser = argparse.ArgumentParser(
        prog="python -m berth_store.loader.on_claim", description="See that a model on a claim is what was resolved."
    )
    add = parser.add_argument
    add("--source", required=True, metavar="URI", help="pvc://claim/path")
    add("--volume", type=Path, required=True, metavar="FOLDER", help="where the claim is mounted")
    add("--digest", required=True, metavar="DIGEST", help="the digest that the list of its files has to have")
    add("--termination-log", type=Path, default=DEFAULT_LOG, metavar="FILE", help="where a failure is told")
    return parser


if __name__ == "__main__":
    sys.exit(main())
