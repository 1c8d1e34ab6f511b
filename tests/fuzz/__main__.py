"""`python -m tests.fuzz [TARGET…]`: fuzz the readers; exit status 1, and the bytes in hex, at a finding.

`make nightly` runs it long, `make test` for seconds. A run of a target is repeated by its seed, which is printed.
"""

import argparse
import secrets
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.fuzz.job import fuzz_and_tell, let_builders_be_imported


def main() -> int:
    """Run, and say what was found."""
    let_builders_be_imported()
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Throw damaged input at every reader.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=20, help="for all targets together (20)")
    parser.add_argument("--each", type=float, help="seconds for each target, in place of --seconds")
    parser.add_argument("--jobs", type=int, default=1, help="targets at once, each in a process of its own (1)")
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    if unknown := set(asked.targets) - TARGETS.keys():
        parser.error(f"no target is called {min(unknown)}; there are {', '.join(TARGETS)}")
    chosen = asked.targets or list(TARGETS)
    seconds = asked.each if asked.each is not None else asked.seconds / len(chosen)
    seed = secrets.randbits(32) if asked.seed is None else asked.seed
    print(f"fuzzing for {seconds:.3g} s each with --seed {seed}", flush=True)
    if asked.jobs == 1:
        found = [fuzz_and_tell(target, seconds, seed) for target in chosen]
    else:
        with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
            running = [processes.submit(fuzz_and_tell, target, seconds, seed) for target in chosen]
            found = [each.result() for each in running]
    return 1 if any(found) else 0


if __name__ == "__main__":
    sys.exit(main())
