"""Errors as people see them: one block on stderr, and the exit code that goes with it.

0  done
1  it could not be done
2  wrong usage, or a manifest that can't be used as it stands
130  ended by Ctrl-C
"""

import os
import traceback
from collections.abc import Mapping

from pydantic import ValidationError

from berth_api.errors import BerthError, InvalidSpec
from berth_cli.manifests.problem import InvalidManifests
from berth_store.home import explain_os_error

FAILED = 1
INVALID = 2
INTERRUPTED = 130
DEBUG_VARIABLE = "BERTH_DEBUG"


def exit_code_of(error: Exception) -> int:
    """The exit code of an error that was meant for people."""
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return code
    return INVALID if isinstance(error, InvalidSpec | InvalidManifests) else FAILED


def failure_text(error: Exception) -> str:
    """The message of an error, without the word `Error`."""
    if isinstance(error, InvalidSpec):
        return "\n".join(f"{one.path}: {one.message}\n    {one.remedy}" for one in error.errors)
    if isinstance(error, BerthError):
        return str(error)
    if isinstance(error, ValidationError):
        return f"a message that can't be read: {error.error_count()} wrong fields"
    if isinstance(error, OSError):
        return explain_os_error(error)
    return f"{type(error).__name__}: {error}"


def failure_block(error: Exception, environ: Mapping[str, str] = os.environ) -> str:
    """The whole block, with the traceback if `BERTH_DEBUG` asks for it."""
    first, *rest = failure_text(error).splitlines() or [type(error).__name__]
    block = "\n".join([f"Error: {first}", *(f"  {line}".rstrip() for line in rest)])
    if environ.get(DEBUG_VARIABLE, "") not in {"", "0"}:
        block += "\n\n" + "".join(traceback.format_exception(error)).rstrip()
    return block
