"""Why a worker ended, as one sentence, from its exit status and what it said last; pure. `berth_runtime.served` asks.

The table is in the order of trust: the first line of it that matches wins.
"""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from berth_runtime.supervision import Cause

MAX_QUOTED: Final = 300


@dataclass(frozen=True)
class Rule:
    """What an engine writes, and what it means; `{0}` is the pattern's first group."""

    pattern: re.Pattern[str]
    sentence: str
    permanent: bool = True


def _rule(pattern: str, sentence: str, *, permanent: bool = True) -> Rule:
    return Rule(re.compile(pattern, re.IGNORECASE), sentence, permanent)


RULES: Final[Sequence[Rule]] = (
    _rule(
        r"unknown model architecture: '([^']*)'",
        "llama.cpp does not know the architecture {0!r}; use a newer version of Berth, or another model.",
    ),
    _rule(
        r"tensor '([^']*)' data is not within the file bounds",
        "The weights file is cut off or damaged: the tensor {0!r} lies outside of it. Fetch the file again.",
    ),
    _rule(
        r"(this GGUF file is version \d+ but this software only supports up to version \d+)",
        "llama.cpp can't read the weights: {0}. Convert the model again with the current tools of llama.cpp.",
    ),
    _rule(
        r"gguf_init_from_\w+: (invalid magic[^\n]*|failed to read[^\n]*|number of [^\n]*)",
        "The weights file is no whole GGUF file ({0}). Fetch it again.",
    ),
    _rule(
        r"failed to open GGUF file '[^']*' \(([^)]*)\)",
        "The weights file can't be opened ({0}). Check that it is there and may be read.",
        permanent=False,
    ),
    _rule(
        r"((?:missing|wrong|invalid|check_)[^\n]*tensor[^\n]*)",
        "The weights do not fit the architecture that the file names ({0}). Fetch or convert the model again.",
    ),
    _rule(
        r"std::bad_alloc|cannot allocate memory|failed to allocate|unable to allocate|out of memory|insufficient memory"
        r"|cudaMalloc failed|MemoryError",
        "There is not enough memory for the model and its context. Lower the context length or the parallel "
        "sequences, take a smaller quantization, or grant more memory.",
        permanent=False,
    ),
    _rule(
        r"(?:ModuleNotFoundError|ImportError): ([^\n]*)",
        "The engine's library is missing here ({0}). Install the runtime with its engines.",
    ),
    _rule(
        r"(?:InvalidProtobuf|Protobuf parsing failed|INVALID_PROTOBUF)",
        "The weights file is no whole ONNX file. Fetch it again.",
    ),
    _rule(
        r"(?:Unsupported model IR version|Opset \d+ is under development|is not a registered function/op)([^\n]*)",
        "ONNX Runtime is too old for this model{0}. Use a newer version of Berth, or export it for an older one.",
    ),
    _rule(
        r"failed to load multimodal model, '(?:[^']*/)?([^']*)'",
        "The projector {0!r} can't be loaded; it is damaged, or made for another model. Fetch the one that belongs to "
        "this model, or take it out of the folder to serve the model without pictures.",
    ),
    _rule(
        r"(?:Jinja Exception: |Error: (?=Unknown \(built-in\)))([^\n]*)",
        "The chat template can't be used ({0}). Give another one by --chat-template.",
    ),
    _rule(
        r"chat template parsing error",
        "The chat template is no Jinja that llama.cpp can read. Give another one by --chat-template.",
    ),
    _rule(
        r"Failed to (?:parse|load|apply)[^\n]*chat template[^\n]*",
        "The chat template can't be used. Give another one by --chat-template.",
    ),
)

_SIGNALS: Final = {
    signal.SIGKILL: "The engine was killed from outside (SIGKILL), most likely because memory ran out. Lower the "
    "context length or the parallel sequences, or grant more memory.",
    signal.SIGILL: "The engine needs instructions that this processor does not have (SIGILL).",
    signal.SIGBUS: "The engine could not read its weights any more (SIGBUS): the file changed or its disk failed.",
}

_STAMP: Final = re.compile(r"^\d+\.\d+\.\d+\.\d+ [A-Z] ")


def explain_exit(status: int, said: str) -> Cause:
    """Why the worker ended with `status` (negative: the signal) after having `said` this on stderr."""
    for rule in RULES:
        found = rule.pattern.search(said)
        if found is not None:
            return Cause(rule.sentence.format(*(group[:MAX_QUOTED] for group in found.groups(""))), rule.permanent)
    if status < 0:
        return Cause(_explain_signal(status, said))
    last = last_line(said)
    return Cause(f"The engine ended with status {status}" + (f": {last}" if last else " and gave no reason."))


def last_line(said: str) -> str:
    """The last line that says something, without llama.cpp's time stamp."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return _STAMP.sub("", lines[-1])[:MAX_QUOTED] if lines else ""


def _explain_signal(status: int, said: str) -> str:
    try:
        number = signal.Signals(-status)
    except ValueError:
        return f"The engine was ended by signal {-status}."
    known = _SIGNALS.get(number)
    if known is not None:
        return known
    last = last_line(said)
    return f"The engine crashed ({number.name})" + (f" after saying: {last}" if last else ".")
