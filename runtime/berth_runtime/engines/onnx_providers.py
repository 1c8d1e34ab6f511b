"""Which of ONNX Runtime's execution providers run a graph: `choose_providers`. Pure.

A provider is the part of the library for one kind of hardware. Which there are is decided when the library is built:
the image for CPUs has one, that for CUDA three. Called by `berth_runtime.engines.onnx_session`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from berth_runtime.engines.protocol import LoadFailed

CPU: Final = "CPUExecutionProvider"
GPU: Final = "gpu"
"""The word for "the GPU, whatever it is": what a Model with an accelerator is started with."""

PROVIDERS: Final[Mapping[str, str]] = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
# By preference. TensorRT and OpenVINO are for those who ask: the first compiles for minutes at each new length of text,
# the second computes on CPUs as well as on GPUs.
GPU_WORDS: Final = ("cuda", "migraphx", "rocm")
# What takes the nodes that the wanted provider has no kernel for, before the CPU does.
BEHIND: Final[Mapping[str, tuple[str, ...]]] = {"tensorrt": ("cuda",), "migraphx": ("rocm",)}


def choose_providers(available: Sequence[str], word: str | None) -> tuple[str, ...]:
    """The providers to be given to a session, the first one first.

    `word` is the user's, or `gpu`, or None for the CPU. A GPU for which the library has no provider is left alone.
    Raises `LoadFailed` for a provider that is named and not there.
    """
    if word == GPU:
        word = next((each for each in GPU_WORDS if PROVIDERS[each] in available), None)
    if word is None or word == "cpu":
        return (CPU,)
    if word not in PROVIDERS or PROVIDERS[word] not in available:
        there = ", ".join(each for each, name in PROVIDERS.items() if name in available)
        raise LoadFailed(
            f"the engine argument provider={word} asks for what this build of ONNX Runtime lacks; it has {there}: name "
            f"one of these, or use the image for that hardware"
        )
    behind = [PROVIDERS[each] for each in BEHIND.get(word, ()) if PROVIDERS[each] in available]
    return (PROVIDERS[word], *behind, CPU)
