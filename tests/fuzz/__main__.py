"""`python -m tests.fuzz --seconds N [--seed S]`: fuzz the readers; exit code 1 and the file in hex at a finding.

`make fuzz` runs it long, `make test` for seconds. A run is repeated by its seed, which is printed.
"""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

SHARE_OF_SIGNATURES = 0.2
MEMORY_FOLDER = Path("/dev/shm")


def main() -> int:
    """Run, and say what was found."""
    # pytest's `pythonpath` lets tests import the builders by their bare names; so does this.
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
    from tests.fuzz.bundles import fuzz_bundles
    from tests.fuzz.headers import fuzz

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Throw damaged files at every reader.")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    print(f"fuzzing headers, detection and signatures for {asked.seconds:g} s with --seed {seed}", flush=True)
    within = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="berth-fuzz-", dir=within) as folder:
        tally = fuzz(Path(folder), seconds=asked.seconds * (1 - SHARE_OF_SIGNATURES), seed=seed)
    signed = fuzz_bundles(seconds=asked.seconds * SHARE_OF_SIGNATURES, seed=seed)
    print("signatures: " + ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(signed.outcomes.items())))
    tally.findings += signed.findings
    print(", ".join(f"{count:,} {outcome}" for outcome, count in sorted(tally.outcomes.items())))
    for finding in tally.findings:
        print(f"FOUND with --seed {seed}: {finding}")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
