"""A package `vllm` with the modules that Berth starts, for head and members of a group: no engine behind them.

Each that starts writes a line into a journal. The server then does what FAKE_VLLM orders (`fake_vllm_child`); a
member's part lives, or ends with the status that FAKE_MEMBER says.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_NOTE = """
import json, os, sys
def note(words):
    fields = {"pid": os.getpid(), "words": words, "address": os.environ.get("VLLM_HOST_IP")}
    with open(os.environ["FAKE_JOURNAL"], "a") as journal:
        journal.write(json.dumps(fields) + "\\n")
"""
_SERVER = """
import asyncio, os, sys
from fake_vllm_child import main
from vllm.note import note
note(sys.argv[1:])
sys.argv[1:] = os.environ["FAKE_VLLM"].split()
asyncio.run(main())
"""
_SERVE = """
import os, sys, time
from types import SimpleNamespace
from vllm.note import note
class FlexibleArgumentParser:
    def parse_args(self):
        return SimpleNamespace(words=sys.argv[1:], is_valid=False)
def make_arg_parser(parser):
    return parser
def validate_parsed_serve_args(arguments):
    arguments.is_valid = True
def run_headless(arguments):
    assert arguments.is_valid and arguments.api_server_count == 0
    note(arguments.words)
    if "FAKE_MEMBER" in os.environ:
        print("Traceback\\nValueError: no such layers\\nlast words", flush=True)
        sys.exit(int(os.environ["FAKE_MEMBER"]))
    time.sleep(60)
"""
_FILES: Mapping[str, str] = {
    "__init__.py": "",
    "note.py": _NOTE,
    "entrypoints/__init__.py": "",
    "entrypoints/openai/__init__.py": "",
    "entrypoints/openai/api_server.py": _SERVER,
    "entrypoints/cli/__init__.py": "",
    "entrypoints/cli/serve.py": _SERVE,
}


@dataclass(frozen=True)
class Started:
    """A part of vLLM that was started."""

    pid: int
    words: list[str]
    address: str | None

    @property
    def rank(self) -> int:
        return int(self.after("--node-rank"))

    def after(self, option: str) -> str:
        """What follows an option."""
        return self.words[self.words.index(option) + 1]

    def is_running(self) -> bool:
        """Whether it is there and no zombie."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False


def write_fake_vllm(folder: Path) -> None:
    """Write the package below `folder`, which is to be on Python's path."""
    for name, text in _FILES.items():
        path = folder / "vllm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read_journal(path: Path) -> list[Started]:
    """All that were started so far."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Started(**json.loads(line)) for line in lines]


def fake_environment(folder: Path, journal: Path, orders: str) -> dict[str, str]:
    """What processes need to find the package in `folder`, and to know what to do."""
    path = os.pathsep.join([str(folder), str(Path(__file__).parent)])
    return {"PYTHONPATH": path, "FAKE_JOURNAL": str(journal), "FAKE_VLLM": orders}
