"""`python -m e2e.cluster.programs`: compile what a cluster consists of. KUBERNETES_VERSION chooses the version."""

import os
import sys

from e2e.cluster.machine import MachineLacks
from e2e.cluster.programs.build import build_programs
from e2e.cluster.programs.folders import Programs
from e2e.cluster.programs.helm import fetch_helm


def main() -> int:
    """Compile and fetch what is missing; the exit status."""
    programs = Programs.from_environment(os.environ)
    try:
        build_programs(programs)
        fetch_helm(programs)
    except MachineLacks as error:
        sys.stderr.write(f"e2e.cluster.programs: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
