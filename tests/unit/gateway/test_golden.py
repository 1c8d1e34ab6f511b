"""What render makes of each case is what the golden file says.

After a wanted change write the files anew with `BERTH_GOLDEN=write` in the environment, and read the difference.
"""

import json
import os

import pytest
from golden_cases import CASES, GOLDEN, as_json, rendered


@pytest.mark.parametrize("case", CASES)
def test_a_snapshot_is_rendered_as_its_golden_file_says(case: str) -> None:
    path = GOLDEN / f"{case}.json"
    if os.environ.get("BERTH_GOLDEN") == "write":
        path.write_text(json.dumps(as_json(rendered(case)), indent=1) + "\n")
    assert as_json(rendered(case)) == json.loads(path.read_text())


def test_every_golden_file_belongs_to_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(CASES)
