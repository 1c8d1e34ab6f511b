"""Which execution providers run a graph. No GPU is needed to know what would be asked for."""

import pytest

from berth_runtime.engines.onnx_providers import CPU, PROVIDERS, choose_providers
from berth_runtime.engines.protocol import LoadFailed

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
MIGRAPHX, ROCM, OPENVINO = "MIGraphXExecutionProvider", "ROCMExecutionProvider", "OpenVINOExecutionProvider"
# What the builds of ONNX Runtime say of themselves.
CPU_BUILD = ("AzureExecutionProvider", CPU)
CUDA_BUILD = (TENSORRT, CUDA, CPU)
ROCM_BUILD = (MIGRAPHX, ROCM, CPU)
OPENVINO_BUILD = (OPENVINO, CPU)


@pytest.mark.parametrize("available", [CPU_BUILD, CUDA_BUILD, ROCM_BUILD, OPENVINO_BUILD])
@pytest.mark.parametrize("word", [None, "cpu"])
def test_without_a_gpu_the_cpu_computes_whatever_the_build_could(available: tuple[str, ...], word: str | None) -> None:
    assert choose_providers(available, word) == (CPU,)


@pytest.mark.parametrize(
    ("available", "chosen"),
    [
        (CUDA_BUILD, (CUDA, CPU)),
        (ROCM_BUILD, (MIGRAPHX, ROCM, CPU)),
        ((ROCM, CPU), (ROCM, CPU)),
        (CPU_BUILD, (CPU,)),
        (OPENVINO_BUILD, (CPU,)),
    ],
)
def test_a_gpu_is_used_by_the_provider_that_starts_soonest(available: tuple[str, ...], chosen: tuple[str, ...]) -> None:
    assert choose_providers(available, "gpu") == chosen


@pytest.mark.parametrize(
    ("available", "word", "chosen"),
    [
        (CUDA_BUILD, "tensorrt", (TENSORRT, CUDA, CPU)),
        (CUDA_BUILD, "cuda", (CUDA, CPU)),
        (ROCM_BUILD, "rocm", (ROCM, CPU)),
        (OPENVINO_BUILD, "openvino", (OPENVINO, CPU)),
    ],
)
def test_the_users_word_wins(available: tuple[str, ...], word: str, chosen: tuple[str, ...]) -> None:
    assert choose_providers(available, word) == chosen


@pytest.mark.parametrize("word", sorted(set(PROVIDERS) - {"cpu"}))
def test_what_the_build_lacks_is_refused_with_what_it_has(word: str) -> None:
    with pytest.raises(LoadFailed, match=f"provider={word} asks for .* lacks; it has cpu: name one"):
        choose_providers(CPU_BUILD, word)
