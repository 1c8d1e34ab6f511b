"""`python -m berth_store.detect PATH`: prints what PATH is as JSON; the child of `detect_bounded`, and useful by hand.

Exit code 0 with a model or an adapter, 3 with the reason why there is none. With `--paged`, the child of
`detect_paged`: it prints each stretch that it wants to read, and waits for a line on stdin that says it is there.
"""

import argparse
import sys
from pathlib import Path

from berth_api.artifact import Format, Task
from berth_api.errors import PickleRefused, UnsupportedModel
from berth_store.detect.adapter import detect_adapter
from berth_store.detect.bounded import (
    DEFAULT_MEMORY_BYTES,
    DEFAULT_TIMEOUT_SECONDS,
    REFUSED_EXIT_CODE,
    Answer,
    Want,
    limit_myself,
)
from berth_store.detect.detection import detect
from berth_store.detect.wish import Sought
from berth_store.headers.reads import read_through


def main() -> int:
    """Detect within limits and print the answer."""
    asked = _parser().parse_args()
    limit_myself(asked.cpu_seconds, asked.memory_bytes)
    if asked.paged:
        read_through(_ask_for)
    answer = _answer(asked)
    sys.stdout.write(answer.model_dump_json())
    return REFUSED_EXIT_CODE if answer.refused else 0


def _answer(asked: argparse.Namespace) -> Answer:
    refused, is_pickle = "", False
    try:
        if asked.sought is not Sought.ADAPTER:
            found = detect(
                asked.path,
                task=asked.task,
                formats=asked.format,
                own_template=asked.own_template,
                pickles=asked.trust_pickle,
            )
            return Answer(model=found)
    except UnsupportedModel as error:
        refused, is_pickle = str(error), isinstance(error, PickleRefused)
    try:
        if asked.sought is not Sought.MODEL:
            return Answer(adapter=detect_adapter(asked.path))
    except UnsupportedModel as error:
        refused = refused or str(error)
    return Answer(refused=refused, is_pickle=is_pickle)


def _ask_for(path: Path, start: int, stop: int) -> None:
    """Have the parent supply a stretch; end where it is gone."""
    sys.stdout.write(Answer(want=Want(path=path, start=start, stop=stop)).model_dump_json(exclude_none=True) + "\n")
    sys.stdout.flush()
    if not sys.stdin.readline():
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m berth_store.detect", description="Say what a model's files are.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--task", type=Task, default=Task.AUTO)
    parser.add_argument("--format", type=Format, action="append", default=[])
    parser.add_argument("--own-template", action="store_true", help="the user gives a chat template: do not judge this")
    parser.add_argument("--sought", type=Sought, default=Sought.MODEL)
    parser.add_argument("--trust-pickle", action="store_true", help="weights may be Python pickles")
    parser.add_argument("--cpu-seconds", type=int, default=int(DEFAULT_TIMEOUT_SECONDS))
    parser.add_argument("--memory-bytes", type=int, default=DEFAULT_MEMORY_BYTES)
    parser.add_argument("--paged", action="store_true", help="ask on stdout for each stretch before it is read")
    return parser


if __name__ == "__main__":
    sys.exit(main())
