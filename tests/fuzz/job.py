"""One target, fuzzed and told of: what `python -m tests.fuzz` has processes of its own do."""

import sys
import tempfile
from pathlib import Path

MEMORY_FOLDER = Path("/dev/shm")


def let_builders_be_imported() -> None:
    """By their bare names, as pytest's `pythonpath` does for tests."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))


def fuzz_and_tell(target: str, seconds: float, seed: int) -> bool:
    """Whether there is a finding, which is printed."""
    let_builders_be_imported()
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
