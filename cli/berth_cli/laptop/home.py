"""The run folder under `$BERTH_HOME`: which instance runs, its logs and its sockets.

    run/lock             held by the running `berth up`, so that a crash frees it
    run/instance.json    who runs and where its control socket is (`InstanceRecord`)
    run/berth.log        what the last detached `berth up` wrote
    run/<start>/logs/    one log for each Model and Envoy's; those of the last few starts are kept
    run/<start>/         also what the gateway writes

Socket paths are bounded by the system (108 bytes), so the sockets go to a short temporary folder where this one is too
deep. All folders are the user's own (mode 0700): whoever reaches the control socket commands the instance.
"""

import errno
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from berth_api.errors import BerthError

LONGEST_SOCKET_PATH = 100
_LONGEST_SOCKET_NAME = len("/control.sock") + 19
_STARTS_KEPT = 5
_LOCK_POLL_SECONDS = 0.02
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class InstanceRecord(BaseModel):
    """What others need to know of the running instance."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    version: str
    address: str
    started: str
    folder: str
    sockets: str

    @property
    def control_socket(self) -> Path:
        """Where it takes commands."""
        return Path(self.sockets) / "control.sock"


class RunFolder:
    """`$BERTH_HOME/run`."""

    def __init__(self, home: Path) -> None:
        self.path = home / "run"

    @property
    def record_path(self) -> Path:
        """`instance.json`."""
        return self.path / "instance.json"

    @property
    def output(self) -> Path:
        """What a detached instance writes to."""
        return self.path / "berth.log"

    def create(self) -> None:
        """Makes the folder. Raises `BerthError` if `$BERTH_HOME` can't be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def running(self) -> InstanceRecord | None:
        """The instance that runs, None if none does. What a crashed one left is cleaned away."""
        if not self.path.is_dir():
            return None
        record = self.record()
        if self.wait_until_ended(wait_seconds=0):
            return None
        return record or self.record()

    def wait_until_ended(self, *, wait_seconds: float) -> bool:
        """Waits until no instance runs, and cleans up after a crashed one. Returns False if one still runs."""
        lock = self.lock(wait_seconds=wait_seconds)
        if lock is None:
            return False
        with lock:
            if (record := self.record()) is not None:
                self.clean(record)
        return True

    def lock(self, *, wait_seconds: float = 1.0) -> "Lock | None":
        """Takes the lock of this folder; None if another process holds it.

        Waits a little, because `running` holds it for a moment to find out that nobody does.
        """
        self.create()
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                return Lock(self.path / "lock")
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return None
                time.sleep(_LOCK_POLL_SECONDS)
            except OSError as error:
                raise unwritable(self.path, error) from error

    def open(self, record: InstanceRecord) -> None:
        """Writes who runs now."""
        temporary = self.record_path.with_suffix(f".{os.getpid()}")
        try:
            temporary.write_text(record.model_dump_json(indent=2))
            temporary.replace(self.record_path)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def clean(self, record: InstanceRecord) -> None:
        """Removes the sockets and the record of an instance that has ended; its logs stay."""
        sockets = Path(record.sockets)
        if sockets != Path(record.folder):
            shutil.rmtree(sockets, ignore_errors=True)
        for socket in Path(record.folder).glob("*.sock"):
            socket.unlink(missing_ok=True)
        self.record_path.unlink(missing_ok=True)

    def new_start(self, name: str) -> tuple[Path, Path]:
        """Makes the folder of a new start and returns it with the folder for its sockets. Old starts are removed."""
        folder = self.path / name
        try:
            (folder / "logs").mkdir(parents=True, mode=0o700, exist_ok=True)
            sockets = socket_folder(folder)
        except OSError as error:
            raise unwritable(folder, error) from error
        starts = sorted(path for path in self.path.iterdir() if path.is_dir())
        for old in starts[:-_STARTS_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return folder, sockets

    def record(self) -> InstanceRecord | None:
        """What `instance.json` says, whether or not that instance runs."""
        try:
            return InstanceRecord.model_validate_json(self.record_path.read_bytes())
        except (OSError, ValidationError):
            return None


class Lock:
    """An exclusive lock on a file. It lasts until it is closed or the process has ended, whichever comes first."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self.descriptor)
            raise

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the lock."""
        os.close(self.descriptor)


def socket_folder(folder: Path) -> Path:
    """`folder` if a socket in it has a path that the system takes, else a new short one in the temporary folder."""
    if len(os.fsencode(folder)) + _LONGEST_SOCKET_NAME <= LONGEST_SOCKET_PATH:
        return folder
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) + len("/berth-12345678") + _LONGEST_SOCKET_NAME > LONGEST_SOCKET_PATH:
        parent = "/tmp"  # noqa: S108 - mkdtemp makes a folder of our own in it
    return Path(tempfile.mkdtemp(prefix="berth-", dir=parent))


def unwritable(path: Path, error: OSError) -> BerthError:
    """The sentence for a folder that can't be written."""
    reason = error.strerror or str(error)
    advice = "Free some space" if error.errno in _FULL else "Make it writable, or set BERTH_HOME to a folder of yours"
    return BerthError(f"can't write {path}: {reason}.\n{advice}.")
