"""Whether adapters can stand beside a model, by what headers tell of both. Pure.

Asked where both are known and nothing is started yet: by the operator, and on a laptop. An `Artifact` of an adapter has
the task `Auto`; its architecture is known where its file says it, which GGUF does. The engines compare the matrices.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_api.conditions import Reason
from berth_api.errors import FieldError, InvalidSpec

FORMATS: Final[Mapping[EngineType, Format]] = {
    EngineType.LLAMA_CPP: Format.GGUF,
    EngineType.VLLM: Format.SAFETENSORS,
}
"""The engines that serve adapters, and the one format in which each reads them."""
TASKS: Final = frozenset({Task.CHAT, Task.COMPLETION})

_CONVERT: Final = {
    Format.GGUF: "convert it with llama.cpp's convert_lora_to_gguf.py",
    Format.SAFETENSORS: "name the adapter as it was trained, with its adapter_config.json",
}


def check_adapters(engine: EngineType, base: Artifact, adapters: Mapping[str, Artifact]) -> None:
    """Raise InvalidSpec for each adapter that `engine` can't serve beside `base`. Their order is that of the spec."""
    if not adapters:
        return
    if engine not in FORMATS:
        message, remedy = f"{engine} serves no adapters", f"remove them; {', '.join(sorted(FORMATS))} serve some"
        raise InvalidSpec(FieldError("spec.adapters", message, remedy, Reason.UNSUPPORTED_FIELD))
    if base.task not in TASKS:
        message = f"adapters are for models that write text, and the task of this one is {base.task}"
        raise InvalidSpec(FieldError("spec.adapters", message, "remove them", Reason.UNSUPPORTED_FIELD))
    errors = tuple(_misfits(engine, base, adapters))
    if errors:
        raise InvalidSpec(*errors)


def _misfits(engine: EngineType, base: Artifact, adapters: Mapping[str, Artifact]) -> Iterator[FieldError]:
    wanted = FORMATS[engine]
    for index, (name, adapter) in enumerate(adapters.items()):
        path = f"spec.adapters[{index}].source"
        if adapter.format is not wanted:
            message = f"the adapter {name} is {adapter.format}, and {engine} reads adapters as {wanted}"
            yield FieldError(path, message, _CONVERT[wanted], Reason.UNSUPPORTED_FORMAT)
        elif adapter.architecture and base.architecture and adapter.architecture != base.architecture:
            message = (
                f"the adapter {name} was made for the architecture {adapter.architecture}, and the model is "
                f"{base.architecture}"
            )
            yield FieldError(path, message, "name an adapter of this model")
