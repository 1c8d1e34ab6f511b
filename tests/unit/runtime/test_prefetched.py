"""The process that rests beside a mounted image: told to end it ends, and an empty volume it does not take."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from berth_runtime import prefetched

pytestmark = pytest.mark.timeout(30)
# Starting takes a moment, and a signal before is no business of this test.
RESTING = (
    "import signal\nsignal.sigwait = (lambda wait: lambda s: (print('resting', flush=True), wait(s)))(signal.sigwait)"
)


def test_it_rests_until_it_is_told_to_end(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    program = f"{RESTING}\nfrom berth_runtime import prefetched\nraise SystemExit(prefetched.main())"
    command = [sys.executable, "-c", program, "--volume", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "resting\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


def test_an_empty_volume_is_told_and_not_rested_beside(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", prefetched.__name__, "--volume", str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 1
    assert f"{tmp_path} is empty: container runtimes mount only the layers of images" in capfd.readouterr().err
