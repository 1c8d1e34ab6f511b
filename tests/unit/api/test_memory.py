"""The arithmetic of memory and disk: what is known is added up, what is not stays open."""

from hypothesis import given
from hypothesis import strategies as st
from model_builders import an_artifact

from berth_api.artifact import EngineType
from berth_api.memory import (
    GIBIBYTE,
    LEAST_VLLM_CACHE_BYTES,
    MEBIBYTE,
    fit_on_devices,
    fit_on_host,
    host_request_bytes,
    kv_cache_bytes,
    vllm_cache_bytes,
    volume_bytes,
)


def test_the_weights_are_shared_by_the_devices_and_each_has_its_overhead() -> None:
    fit = fit_on_devices(an_artifact(size_bytes=5 * GIBIBYTE), count=2, device_bytes=24 * GIBIBYTE)
    assert fit.per_device_bytes == 5 * GIBIBYTE // 2 + GIBIBYTE
    assert (fit.weights_bytes, fit.device_bytes, fit.kv_cache_bytes) == (5 * GIBIBYTE, 24 * GIBIBYTE, None)


def test_the_kv_cache_is_shared_too_and_what_is_offloaded_is_not_on_the_device() -> None:
    artifact = an_artifact(size_bytes=8 * GIBIBYTE)
    fit = fit_on_devices(
        artifact, count=2, device_bytes=24 * GIBIBYTE, kv_cache_bytes=4 * GIBIBYTE, offloaded_bytes=GIBIBYTE
    )
    assert fit.per_device_bytes == (4 - 1 + 2 + 1) * GIBIBYTE
    assert (fit.weights_bytes, fit.kv_cache_bytes) == (8 * GIBIBYTE, 4 * GIBIBYTE)
    gone = fit_on_devices(artifact, count=8, device_bytes=1, offloaded_bytes=9 * GIBIBYTE)
    assert gone.per_device_bytes == GIBIBYTE


def test_the_kv_cache_is_that_of_one_request_of_the_longest_context() -> None:
    artifact = an_artifact(kv_bytes_per_token=1000, context_length=4096)
    assert kv_cache_bytes(artifact, context_length=None) == 4_096_000
    assert kv_cache_bytes(artifact, context_length=100, dtype="bfloat16") == 100_000


def test_a_kv_cache_of_which_something_is_not_known_stays_open() -> None:
    artifact = an_artifact(kv_bytes_per_token=1000, context_length=4096)
    assert kv_cache_bytes(artifact, context_length=None, dtype="fp8") is None
    assert kv_cache_bytes(an_artifact(context_length=4096), context_length=None) is None
    assert kv_cache_bytes(an_artifact(kv_bytes_per_token=1000), context_length=None) is None


def test_on_the_host_one_pod_needs_the_weights_and_the_engine() -> None:
    assert fit_on_host(an_artifact(size_bytes=GIBIBYTE)).per_device_bytes == GIBIBYTE + 512 * MEBIBYTE


def test_vllm_on_the_host_needs_its_three_processes_and_its_cache_too() -> None:
    fit = fit_on_host(an_artifact(size_bytes=GIBIBYTE), engine=EngineType.VLLM, kv_cache_bytes=2 * GIBIBYTE)
    assert (fit.per_device_bytes, fit.kv_cache_bytes) == (6 * GIBIBYTE, 2 * GIBIBYTE)


def test_the_cache_of_vllm_on_the_host_is_two_gibibytes_or_that_of_the_longest_request() -> None:
    small, large = an_artifact(kv_bytes_per_token=1000), an_artifact(kv_bytes_per_token=1 << 20, context_length=8192)
    assert vllm_cache_bytes(small, context_length=4096) == LEAST_VLLM_CACHE_BYTES
    assert vllm_cache_bytes(an_artifact(), context_length=4096) == LEAST_VLLM_CACHE_BYTES
    assert 8 * GIBIBYTE < vllm_cache_bytes(large, context_length=None) < 9 * GIBIBYTE
    assert vllm_cache_bytes(large, context_length=None, dtype="float32") > 16 * GIBIBYTE


def test_an_unknown_size_leaves_the_sum_open() -> None:
    assert fit_on_host(an_artifact()).per_device_bytes is None
    assert fit_on_devices(an_artifact(), count=1, device_bytes=1).per_device_bytes is None


def test_a_request_covers_the_weights_on_the_cpu_and_a_tenth_of_them_with_gpus() -> None:
    assert host_request_bytes(10 * GIBIBYTE, on_devices=False) == 12 * GIBIBYTE + 512 * MEBIBYTE
    assert host_request_bytes(10 * GIBIBYTE, on_devices=True) == 2 * GIBIBYTE


@given(st.integers(0, 1 << 50))
def test_what_is_set_aside_is_never_less_than_the_files_and_always_whole_mebibytes(size: int) -> None:
    for found in (host_request_bytes(size, on_devices=False), volume_bytes(size)):
        assert found > size
        assert found % MEBIBYTE == 0
