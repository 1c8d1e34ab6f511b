"""Engine arguments and variables that are refused, and those that pass."""

import pytest

from berth_api.arguments import ACCEPTED, refused_arguments, refused_variables, split_argument
from berth_api.artifact import EngineType
from berth_runtime.engines import llamacpp_settings, onnx_providers, onnxruntime, text_plan, torch, torch_plan
from berth_runtime.engines.text_entities import Aggregation
from berth_store.detect import Pooling

# What the servers of llama.cpp and vLLM would take.
# fmt: off
OPENING = (
    "--host=0.0.0.0", "--port=1", "--path=/", "--api-key=x", "--api-key-file=/k", "--ssl-key-file=/k", "--props",
    "--slots", "--slot-save-path=/", "--metrics", "--model=/x", "--model-url=http://x", "--hf-repo=a/b",
    "--hf-token=x", "--lora=/x", "--lora-scaled=/x", "--control-vector=/x", "--chat-template=x",
    "--chat-template-file=/x", "--grammar-file=/x", "--mmproj=/x", "--log-file=/x", "--log-disable", "--rpc=h:1",
    "--alias=x", "--verbose", "--webui", "--models-dir=/x", "--model_draft=/x", "--json-schema-file=/x",
    "--prompt-cache-file=/x", "--media-path=/x", "--docker-repo=x", "--uvicorn-log-level=debug",
    "--allow-credentials", "--middleware=x.y", "--served-model-name=x", "--root-path=/", "--trust-remote-code",
    "--tokenizer=/x", "--download-dir=/x", "--config=/x", "--plugin=x", "--tool-parser-plugin=/x",
    "--allowed-local-media-path=/", "--worker-cls=x", "--enable-server-load-tracking", "--enable-log-requests",
    "--logits-processor-pattern=x", "--master-addr=x", "--node-ip=x", "--data-parallel-address=x",
    "--hf-overrides={}", "--kv-transfer-config={}", "--speculative-config={}", "--enable-prompt-embeds",
    "--profiler-config={}", "--fd=3",
)
# fmt: on


@pytest.mark.parametrize("argument", OPENING)
def test_an_argument_that_opens_something_is_refused_in_every_spelling(argument: str) -> None:
    for spelling in (argument, argument.removeprefix("--"), argument.replace("-", "_").lstrip("_"), argument.upper()):
        assert len(refused_arguments([spelling])) == 1, spelling


@pytest.mark.parametrize("engine", ACCEPTED)
def test_what_an_engine_takes_is_not_refused(engine: EngineType) -> None:
    assert refused_arguments([f"{name}=1" for name in ACCEPTED[engine]]) == ()


def test_what_is_passed_on_is_what_the_engines_know() -> None:
    assert set(ACCEPTED[EngineType.LLAMA_CPP]) == set(llamacpp_settings.ARGUMENTS)
    of_texts = set().union(*text_plan.ARGUMENTS.values())
    assert set(ACCEPTED[EngineType.ONNX_RUNTIME]) == of_texts | onnxruntime.TEXTS.arguments
    assert set(ACCEPTED[EngineType.TORCH]) == of_texts | torch.LIBRARY.arguments
    words = {name: value.pattern.split("|") for name, value in ACCEPTED[EngineType.ONNX_RUNTIME].items()}
    assert words["pooling"] == list(Pooling)
    assert words["aggregation"] == list(Aggregation)
    torchs = {name: value.pattern.split("|") for name, value in ACCEPTED[EngineType.TORCH].items()}
    assert torchs["pooling"] == [each for each in Pooling if each is not Pooling.IN_GRAPH]
    assert torchs["device"] == list(torch_plan.Device)
    assert torchs["dtype"] == list(torch_plan.Numbers)
    assert set(words["provider"]) == {onnx_providers.GPU, *onnx_providers.PROVIDERS}


@pytest.mark.parametrize(
    "argument",
    ["max-num-seqs=8", "gpu-memory-utilization=0.9", "max-model-len=8192", "dtype=bfloat16", "enable-prefix-caching"],
)
def test_harmless_arguments_of_engines_to_come_are_not_refused(argument: str) -> None:
    assert refused_arguments([argument]) == ()


def test_an_argument_is_split_at_the_first_equals_sign() -> None:
    assert split_argument("--Batch_Size=a=b") == ("batch-size", "a=b")
    assert split_argument("flash-attn") == ("flash-attn", "true")


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "PYTHONPATH", "PATH", "LLAMA_ARG_HOST", "VLLM_SERVER_DEV_MODE", "VLLM_PLUGINS", "BERTH_HOME"]
)
def test_a_variable_that_does_what_arguments_may_not_is_refused(name: str) -> None:
    (error,) = refused_variables(["OMP_NUM_THREADS", name])
    assert (error.path, error.reason) == ("spec.pod.env[1].name", "ArgumentRefused")


def test_other_variables_pass() -> None:
    assert refused_variables(["OMP_NUM_THREADS", "HTTPS_PROXY", "MY_PATH", "VLLM_USE_V1"]) == ()
