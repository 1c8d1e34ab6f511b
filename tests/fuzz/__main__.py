"""`python -m tests.fuzz [TARGET…]`: fuzz the readers; exit status 1, and the bytes in hex, at a finding.

`make nightly` runs it long, `make test` for seconds. A run of a target is repeated by its seed, which is printed.
"""

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

MEMORY_FOLDER = Path("/dev/shm")


def main() -> int:
    """Run, and say what was found."""
    # pytest's `pythonpath` lets tests import the builders by their bare names; so does this.
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Throw damaged input at every reader.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=20, help="for all targets together (20)")
    parser.add_argument("--each", type=float, help="seconds for each target, in place of --seconds")
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    if unknown := set(asked.targets) - TARGETS.keys():
        parser.error(f"no target is called {min(unknown)}; there are {', '.join(TARGETS)}")
    chosen = asked.targets or list(TARGETS)
    seconds = asked.each if asked.each is not None else asked.seconds / len(chosen)
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    print(f"fuzzing for {seconds:.3g} s each with --seed {seed}", flush=True)
    found = [_fuzz(target, seconds, seed) for target in chosen]
    return 1 if any(found) else 0


def _fuzz(target: str, seconds: float, seed: int) -> bool:
    """Whether there is a finding, which is printed."""
    from tests.fuzz.run import fuzz
    from tests.fuzz.targets import TARGETS

    within = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="berth-fuzz-", dir=within) as folder:
        tally = fuzz(TARGETS[target](Path(folder)), seconds=seconds, seed=seed)
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(tally.outcomes.items()))
    print(f"{target}: {outcomes}", flush=True)
    for finding in tally.findings:
        print(f"FOUND in {target} with --seed {seed}: {finding}", flush=True)
    return bool(tally.findings)


if __name__ == "__main__":
    sys.exit(main())
