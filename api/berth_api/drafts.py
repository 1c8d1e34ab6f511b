"""Whether a draft model can guess for a model, by what headers tell of both. Pure.

Asked where both are known and nothing is started yet. Whether the two have the same vocabulary the engine looks at.
"""

from typing import Final

from berth_api.adapters import TASKS
from berth_api.artifact import Artifact, EngineType, Format
from berth_api.conditions import Reason
from berth_api.errors import FieldError, InvalidSpec

ENGINE: Final = EngineType.LLAMA_CPP


def check_draft(engine: EngineType, base: Artifact, draft: Artifact) -> None:
    """Raise InvalidSpec where the engine can't let `draft` guess for `base`."""
    if engine is not ENGINE:
        message = f"a draft model is for {ENGINE}, and this Model is served by {engine}"
        raise InvalidSpec(FieldError("spec.draft", message, "remove it", Reason.UNSUPPORTED_FIELD))
    if base.task not in TASKS:
        message = f"a draft model is for models that write text, and the task of this one is {base.task}"
        raise InvalidSpec(FieldError("spec.draft", message, "remove it", Reason.UNSUPPORTED_FIELD))
    if draft.format is not Format.GGUF:
        message, remedy = f"the draft model is {draft.format}, and {ENGINE} loads GGUF", "name one in GGUF"
        raise InvalidSpec(FieldError("spec.draft.source", message, remedy, Reason.UNSUPPORTED_FORMAT))
