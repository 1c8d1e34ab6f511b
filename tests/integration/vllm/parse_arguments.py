"""Give command lines to vLLM's own parser: JSON lists on stdin, a JSON answer for each on stdout. Runs beside vLLM.

Importing vLLM takes half a minute and 0.9 GB, so one process reads all of them.
"""

import contextlib
import io
import json
import sys
from typing import Any


def main() -> None:
    """Parse each."""
    with contextlib.redirect_stdout(sys.stderr):
        from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
        from vllm.utils.argparse_utils import FlexibleArgumentParser

        parser = make_arg_parser(FlexibleArgumentParser())
    answers: list[dict[str, Any]] = []
    for words in json.load(sys.stdin):
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                parsed = parser.parse_args(words)
                validate_parsed_serve_args(parsed)
        except (SystemExit, Exception) as error:  # noqa: BLE001 - whatever it says is the answer
            answers.append({"error": f"{error!r} {said.getvalue()[-500:]}"})
        else:
            answers.append({"parsed": {name: repr(value) for name, value in vars(parsed).items()}})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
