"""Adapters (LoRA) on one base model: which are there, whether they fit it, whose turn it is. For `engines.llamacpp`.

llama.cpp computes a batch with one adapter alone, and takes the first sequence's: a busy one would keep all others
waiting for as long as it is asked. So requests take turns here, in the order in which they came.
"""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from berth_api.errors import UnsupportedModel
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_store.headers.gguf import GgufHeader, read_gguf
from berth_store.headers.gguf_header import GgufTensor

Json = dict[str, Any]

_A: Final = ".lora_a"
_B: Final = ".lora_b"
# Its matrices lie the other way round; llama.cpp looks at them by itself.
_EMBEDDING: Final = "token_embd.weight"


@dataclass(frozen=True)
class Adapters:
    """The adapters of a model by name, in the order in which llama.cpp was given them."""

    model: str
    names: tuple[str, ...] = ()

    def scales(self, chosen: str | None) -> list[Json]:
        """What llama.cpp is told of each for one request.

        Always all of them: without a word on adapters it keeps to what a sequence had before, and to what it has read
        by that.
        """
        return [{"id": number, "scale": float(name == chosen)} for number, name in enumerate(self.names)]

    def chosen(self, model: str) -> str | None:
        """The adapter in `model:adapter`; None for the model alone."""
        return model.partition(":")[2] or None


class Turns:
    """Lets in requests with the same adapter together, and others when those have ended; first come, first served."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._adapter: str | None = None
        self._running = 0

    @contextmanager
    def turn(self, adapter: str | None) -> Iterator[None]:
        """Wait for the turn of this adapter, and keep it."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: self._waiting[0] is ticket and self._admits(adapter))
            self._waiting.popleft()
            self._adapter = adapter
            self._running += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _admits(self, adapter: str | None) -> bool:
        return self._running == 0 or self._adapter == adapter


def check_adapters(settings: EngineSettings) -> Adapters:
    """All adapters, if each is one for this model; `LoadFailed` names the one that is not."""
    if settings.adapters:
        headers = [read_gguf(path) for path in settings.model.weights]
        tensors = {tensor.name: tensor for header in headers for tensor in header.tensors}
        for name, path in settings.adapters.items():
            check_adapter(name, path.name, read_adapter(name, path), headers[0].architecture, tensors)
    return Adapters(settings.name, tuple(settings.adapters))


def read_adapter(name: str, path: Path) -> GgufHeader:
    """The header of an adapter's file."""
    try:
        return read_gguf(path)
    except UnsupportedModel as error:
        raise LoadFailed(f"the adapter {name!r} can't be read: {error}") from error


def check_adapter(
    name: str, file: str, header: GgufHeader, architecture: str | None, tensors: Mapping[str, GgufTensor]
) -> None:
    """Raise `LoadFailed` unless the file is a LoRA whose matrices fit the model's."""
    if header.kind != "adapter" or header.metadata.get("adapter.type") != "lora":
        raise LoadFailed(
            f"the adapter {name!r} ({file}) is no LoRA in GGUF; convert it with llama.cpp's convert_lora_to_gguf.py"
        )
    if header.architecture != architecture:
        raise LoadFailed(
            f"the adapter {name!r} ({file}) is for the architecture {header.architecture}, and the model is "
            f"{architecture}; give the adapter of this model"
        )
    own = {tensor.name: tensor for tensor in header.tensors}
    for tensor in header.tensors:
        base = tensors.get(tensor.name.removesuffix(_A).removesuffix(_B))
        pair = own.get(_other(tensor.name))
        if base is None or pair is None or not _fits(base, tensor, pair):
            raise LoadFailed(
                f"the adapter {name!r} ({file}) has the matrix {tensor.name} of shape {tensor.shape}, which fits no "
                "matrix of this model; it was made for another one"
            )


def _other(name: str) -> str:
    return name.removesuffix(_A) + _B if name.endswith(_A) else name.removesuffix(_B) + _A


def _fits(base: GgufTensor, tensor: GgufTensor, pair: GgufTensor) -> bool:
    if base.name == _EMBEDDING:
        return True
    if len(base.shape) < 2 or len(tensor.shape) < 2 or len(pair.shape) < 2:
        return False
    a, b = (tensor, pair) if tensor.name.endswith(_A) else (pair, tensor)
    return a.shape[0] == base.shape[0] and b.shape[1] == base.shape[1] and a.shape[1] == b.shape[0]
