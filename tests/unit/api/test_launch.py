"""What is started for a Model, and which engine does it."""

from typing import Any

import pytest
from model_builders import a_model, an_artifact

from berth_api.arguments import ACCEPTED, engine_arguments, refused_arguments
from berth_api.artifact import Artifact, EngineType, Format, Task
from berth_api.engines import SERVED, check_devices, choose_engine
from berth_api.errors import InvalidSpec, UnsupportedModel
from berth_api.launch import build_launch
from berth_store.convert.encoder_config import FAMILIES


def argv_of(*, model_path: str = "/models/x.gguf", **spec: Any) -> list[str]:
    launch = build_launch(a_model("qwen", **spec), an_artifact(), model_path=model_path, port=8000)
    return list(launch.argv)


def test_a_model_that_asks_for_nothing_is_started_with_what_was_found() -> None:
    assert argv_of() == [
        *("python", "-m", "berth_runtime", "--model", "qwen=/models/x.gguf", "--port", "8000"),
        *("--engine", "LlamaCpp", "--task", "Chat", "--drain-timeout", "120"),
    ]


def test_what_the_model_asks_for_is_passed_on() -> None:
    launch = build_launch(
        a_model(
            "qwen",
            task="Completion",
            context_length=2048,
            parallel_sequences=8,
            rollout={"drainTimeout": "1m30s"},
            engine={"args": ["--batch_size=256", "threads=2"]},
            pod={"env": [{"name": "OMP_NUM_THREADS", "value": "2"}, {"name": "EMPTY"}]},
        ),
        an_artifact(task=Task.CHAT),
        model_path="/m",
        port=41000,
        host="127.0.0.1",
        chat_template_path="/t.jinja",
    )
    assert launch.argv[7:] == (
        *("--port", "41000", "--engine", "LlamaCpp", "--task", "Completion", "--context-length", "2048"),
        *("--parallel-sequences", "8", "--chat-template", "/t.jinja", "--drain-timeout", "90"),
        *("--engine-arg", "batch-size=256", "--engine-arg", "threads=2"),
    )
    assert launch.argv[5:7] == ("--host", "127.0.0.1")
    assert launch.env == {"OMP_NUM_THREADS": "2", "EMPTY": ""}
    assert launch.drain_timeout_seconds == 90
    assert (launch.live_path, launch.ready_path, launch.port) == ("/health/live", "/health/ready", 41000)


def test_adapters_and_holds_are_given_one_by_one() -> None:
    launch = build_launch(
        a_model("qwen", engine={"args": ["threads=2"]}),
        an_artifact(),
        model_path="/m",
        port=8000,
        adapter_paths={"sql": "/loras/sql", "poem": "/loras/poem"},
        hold_paths=("/holds/m", "/holds/sql"),
    )
    assert launch.argv[-12:] == (
        *("--drain-timeout", "120", "--adapter", "sql=/loras/sql", "--adapter", "poem=/loras/poem"),
        *("--hold", "/holds/m", "--hold", "/holds/sql", "--engine-arg", "threads=2"),
    )


def test_a_draft_model_is_given_with_how_far_it_may_guess() -> None:
    model = a_model("qwen", draft={"source": {"uri": "oci://r/s"}, "tokens": 8, "minProbabilityPercent": 75})
    launch = build_launch(model, an_artifact(), model_path="/m", port=8000, draft_path="/draft")
    assert launch.argv[-6:] == ("--draft", "/draft", "--draft-tokens", "8", "--draft-min-probability", "0.75")


def test_the_served_name_is_the_models_own_whatever_it_is_called_besides() -> None:
    assert "qwen=/models/x.gguf" in argv_of(aliases=["gpt-4o"])


def test_a_path_is_handed_over_as_it_is() -> None:
    assert "qwen=/a b/=x;$(y).gguf" in argv_of(model_path="/a b/=x;$(y).gguf")


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("batchsize=2", "did you mean `batch-size`?"),
        ("zzz=1", "it takes `batch-size`"),
        ("batch-size=many", "give a number above 0"),
        ("cache-type-k=q9", "give one of `f32`"),
        ("n-gpu-layers=all", "a number of layers, or `-1` for all"),
        ("threads", "`true` is no value"),
        ("port=1", "where the engine listens"),
    ],
)
def test_an_argument_that_the_engine_does_not_take_is_refused(argument: str, says: str) -> None:
    model = a_model(engine={"args": ["flash-attn=on"]})
    wrong = model.model_copy(
        update={
            "spec": model.spec.model_copy(update={"engine": model.spec.engine.model_copy(update={"args": (argument,)})})
        }
    )
    with pytest.raises(InvalidSpec) as refused:
        build_launch(wrong, an_artifact(), model_path="/m", port=1)
    error = refused.value.errors[0]
    assert (error.path, error.reason) == ("spec.engine.args[0]", "ArgumentRefused")
    assert says in str(error)


def test_the_engine_follows_the_format() -> None:
    assert choose_engine(an_artifact(Format.GGUF, Task.CHAT)) is EngineType.LLAMA_CPP
    assert choose_engine(an_artifact(Format.GGUF, Task.EMBEDDING)) is EngineType.LLAMA_CPP
    assert choose_engine(an_artifact(Format.ONNX, Task.EMBEDDING)) is EngineType.ONNX_RUNTIME


def test_the_wanted_engine_is_taken_if_it_can() -> None:
    assert choose_engine(an_artifact(), wanted=EngineType.LLAMA_CPP) is EngineType.LLAMA_CPP


@pytest.mark.parametrize(
    ("wanted", "form", "task", "says"),
    [
        (
            EngineType.TORCH,
            Format.SAFETENSORS,
            Task.CHAT,
            "TextClassification, TokenClassification from Safetensors, and this model's task is Chat",
        ),
        (
            EngineType.ONNX_RUNTIME,
            Format.GGUF,
            Task.CHAT,
            "OnnxRuntime loads ONNX, Safetensors, and this artifact is GGUF",
        ),
        (
            EngineType.ONNX_RUNTIME,
            Format.SAFETENSORS,
            Task.CHAT,
            "Rerank, TextClassification, TokenClassification from Safetensors, and this model's task is Chat",
        ),
    ],
)
def test_a_wanted_engine_that_can_not_is_refused(wanted: EngineType, form: Format, task: Task, says: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^spec\.engine\.type: ") as refused:
        choose_engine(an_artifact(form, task), wanted=wanted)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("form", "task", "says"),
    [
        (
            Format.PYTORCH,
            Task.CHAT,
            "bring the model as GGUF or ONNX or Safetensors, or set spec.task to one of Embedding",
        ),
        (
            Format.TFLITE,
            Task.RERANK,
            "bring the model as GGUF or ONNX or Safetensors, or set spec.task to one of Embedding, ImageClassification",
        ),
        (
            Format.GGUF,
            Task.TEXT_CLASSIFICATION,
            "bring the model as ONNX or Safetensors, or set spec.task to one of Chat, Completion",
        ),
    ],
)
def test_a_model_that_no_engine_serves_says_what_would_be_served(form: Format, task: Task, says: str) -> None:
    with pytest.raises(UnsupportedModel) as refused:
        choose_engine(an_artifact(form, task))
    assert says in str(refused.value)


@pytest.mark.parametrize("form", [Format.GGUF, Format.ONNX])
def test_the_engines_of_this_version_use_a_gpu(form: Format) -> None:
    task = Task.EMBEDDING
    assert choose_engine(an_artifact(form, task), gpu=True) is choose_engine(an_artifact(form, task))


def test_an_engine_that_uses_one_gpu_is_not_given_more() -> None:
    model = a_model(accelerator={"memory": "24Gi", "count": 2})
    with pytest.raises(InvalidSpec, match=r"spec\.accelerator\.count: OnnxRuntime uses at most 1 GPU"):
        build_launch(model, an_artifact(Format.ONNX, Task.EMBEDDING), model_path="/m", port=1)
    build_launch(model, an_artifact(Format.GGUF), model_path="/m", port=1)


@pytest.mark.parametrize("task", [Task.CHAT, Task.COMPLETION])
def test_text_from_onnx_is_written_on_the_cpu_alone(task: Task) -> None:
    artifact = an_artifact(Format.ONNX, task)
    assert choose_engine(artifact) is EngineType.ONNX_RUNTIME
    says = rf"^spec\.accelerator: OnnxRuntime does {task} on the CPU alone in this version; .* as GGUF, Safetensors"
    for model in (a_model(accelerator={"memory": "24Gi"}), a_model(accelerator={"memory": "24Gi", "count": 2})):
        with pytest.raises(InvalidSpec, match=says):
            build_launch(model, artifact, model_path="/m", port=1)


def test_a_decoder_of_a_known_family_in_safetensors_is_no_work_for_onnx_runtime() -> None:
    artifact = an_artifact(Format.SAFETENSORS, Task.COMPLETION, architecture="bert")
    assert choose_engine(artifact, gpu=True) is EngineType.VLLM


def test_an_engine_without_a_gpu_says_so() -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.accelerator: LiteRT uses no GPU in this version; leave it out"):
        check_devices(EngineType.LITERT, 1)


def test_safetensors_are_served_by_vllm_on_a_gpu_and_on_the_cpu_only_where_it_is_named() -> None:
    safetensors = an_artifact(Format.SAFETENSORS, Task.CHAT)
    assert choose_engine(safetensors, gpu=True) is EngineType.VLLM
    assert choose_engine(safetensors, wanted=EngineType.VLLM) is EngineType.VLLM
    with pytest.raises(InvalidSpec, match=r"^spec\.accelerator: VLLM, which serves Chat.*wants a GPU.*GGUF"):
        choose_engine(safetensors)


def test_vllm_shares_a_model_among_the_gpus_of_its_pod() -> None:
    model = a_model("qwen", accelerator={"memory": "80Gi", "count": 4}, context_length=8192, parallel_sequences=16)
    launch = build_launch(model, an_artifact(Format.SAFETENSORS), model_path="/m", port=8000)
    assert launch.engine is EngineType.VLLM
    assert launch.argv[-2:] == ("--engine-arg", "tensor-parallel-size=4")
    assert "--context-length" in launch.argv


def test_on_the_cpu_vllm_is_told_the_size_of_its_cache_for_it_would_take_nine_tenths_of_the_machine() -> None:
    def argv(*args: str) -> tuple[str, ...]:
        model = a_model("qwen", engine={"type": "VLLM", "args": list(args)}, context_length=8192)
        artifact = an_artifact(Format.SAFETENSORS, kv_bytes_per_token=1 << 20)
        return build_launch(model, artifact, model_path="/m", port=8000).argv

    assert argv()[-1] == f"kv-cache-memory-bytes={(8192 + 256) << 20}"
    assert argv("kv_cache_memory_bytes=1000000")[-1] == "kv-cache-memory-bytes=1000000"


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("max-model-len=4096", "Berth gives VLLM the argument `max-model-len` itself; set `spec.contextLength`"),
        ("tensor-parallel-size=2", "set `spec.accelerator.count`"),
        ("pipeline-parallel-size=2", "set `spec.accelerator.nodes`"),
        ("max_num_seqs=2", "set `spec.parallelSequences`"),
        ("gpu-memory-utilization=1.5", "a share of the memory"),
        ("gpu-memory-utilization=90", "a share of the memory"),
        ("seed=1k", "a number from 0 on"),
        ("max-num-batched-tokens=8k", "a number above 0"),
        ("kv-cache-dtype=a b", "a word in small letters"),
        ("enforce-eagr=true", "did you mean `enforce-eager`?"),
        ("trust-remote-code", "it runs code"),
        ("served-model-name=x", "meant for developers"),
        ("load-format=pt", "is refused"),
    ],
)
def test_vllm_takes_what_its_table_says(argument: str, says: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        engine_arguments(EngineType.VLLM, [argument])
    assert says in str(refused.value)


@pytest.mark.parametrize("argument", ["gpu-memory-utilization=0.9", "gpu-memory-utilization=.95", "kv_cache_dtype=fp8"])
def test_vllm_is_given_what_its_table_takes(argument: str) -> None:
    assert len(engine_arguments(EngineType.VLLM, [argument, "enforce-eager"])) == 2


def test_no_argument_that_an_engine_takes_is_refused_for_all() -> None:
    for engine, accepted in ACCEPTED.items():
        assert refused_arguments([f"{name}=1" for name in accepted]) == (), engine


def test_llama_cpp_moves_all_layers_to_the_gpu_unless_told_otherwise() -> None:
    gpu = {"memory": "24Gi"}
    assert argv_of(accelerator=gpu)[-2:] == ["--engine-arg", "n-gpu-layers=-1"]
    assert argv_of(accelerator=gpu, engine={"args": ["n_gpu_layers=20"]})[-2:] == ["--engine-arg", "n-gpu-layers=20"]
    assert "--engine-arg" not in argv_of()


def test_onnx_runtime_takes_the_gpu_that_the_model_has() -> None:
    model = a_model(accelerator={"memory": "24Gi"})
    launch = build_launch(model, an_artifact(Format.ONNX, Task.RERANK), model_path="/m", port=1)
    assert launch.argv[-2:] == ("--engine-arg", "provider=gpu")


@pytest.mark.parametrize("task", [Task.EMBEDDING, Task.RERANK, Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION])
@pytest.mark.parametrize("architecture", [*FAMILIES, None])
def test_encoders_in_safetensors_go_to_onnx_runtime(task: Task, architecture: str | None) -> None:
    artifact = an_artifact(Format.SAFETENSORS, task).model_copy(update={"architecture": architecture})
    assert choose_engine(artifact) is EngineType.ONNX_RUNTIME


def a_checkpoint(architecture: str | None, task: Task, form: Format = Format.SAFETENSORS) -> Artifact:
    return an_artifact(form, task).model_copy(update={"architecture": architecture})


def test_an_architecture_that_can_not_be_converted_is_named_with_what_to_do() -> None:
    artifact = a_checkpoint("qwen3", Task.TOKEN_CLASSIFICATION)
    with pytest.raises(InvalidSpec) as refused:
        choose_engine(artifact, wanted=EngineType.ONNX_RUNTIME)
    says = "the architectures bert, camembert, distilbert, roberta, xlm-roberta, and this artifact's is qwen3; bring"
    assert says in str(refused.value)
    with pytest.raises(UnsupportedModel, match=r"albert, beit,.* is qwen3; set spec\.engine\.type to Torch to try it"):
        choose_engine(artifact)
    assert choose_engine(artifact, wanted=EngineType.TORCH) is EngineType.TORCH


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("deberta-v2", Task.RERANK),
        ("mpnet", Task.EMBEDDING),
        ("electra", Task.TOKEN_CLASSIFICATION),
        ("vit", Task.IMAGE_CLASSIFICATION),
        ("detr", Task.OBJECT_DETECTION),
        (None, Task.IMAGE_CLASSIFICATION),
    ],
)
def test_what_only_transformers_knows_goes_to_torch(architecture: str | None, task: Task, gpu: bool) -> None:
    assert choose_engine(a_checkpoint(architecture, task), gpu=gpu) is EngineType.TORCH


@pytest.mark.parametrize("architecture", ["bert", "deberta-v2"])
def test_pickles_go_to_torch_also_of_architectures_that_others_know(architecture: str) -> None:
    assert choose_engine(a_checkpoint(architecture, Task.EMBEDDING, Format.PYTORCH)) is EngineType.TORCH


@pytest.mark.parametrize("task", [Task.CHAT, Task.TEXT_RECOGNITION])
def test_torch_is_given_no_task_that_it_does_not_do(task: Task) -> None:
    with pytest.raises(InvalidSpec, match=rf"Torch serves Embedding.* and this model's task is {task}"):
        choose_engine(a_checkpoint("vit", task), wanted=EngineType.TORCH)


def test_a_pickle_is_launched_only_where_it_is_trusted() -> None:
    artifact = a_checkpoint("bert", Task.EMBEDDING, Format.PYTORCH)
    with pytest.raises(InvalidSpec) as refused:
        build_launch(a_model(), artifact, model_path="/m", port=1)
    (error,) = refused.value.errors
    assert (error.path, error.reason) == ("spec.trust.pickle", "PickleRefused")
    launch = build_launch(a_model(trust={"pickle": True}), artifact, model_path="/m", port=1)
    assert launch.engine is EngineType.TORCH
    assert "--trust-pickle" in launch.argv
    assert "--trust-remote-code" not in launch.argv


def test_an_engine_hears_of_code_that_may_run() -> None:
    launch = build_launch(a_model(trust={"remoteCode": True}), an_artifact(), model_path="/m", port=1)
    assert "--trust-remote-code" in launch.argv
    assert not [
        word for word in build_launch(a_model(), an_artifact(), model_path="/m", port=1).argv if "trust" in word
    ]


def test_torch_is_told_to_use_the_gpu_that_it_was_given() -> None:
    model = a_model(accelerator={"memory": "24Gi"})
    launch = build_launch(model, a_checkpoint("vit", Task.IMAGE_CLASSIFICATION), model_path="/m", port=1)
    assert launch.argv[-2:] == ("--engine-arg", "device=cuda")


def test_the_architectures_are_those_that_the_converter_knows() -> None:
    assert SERVED[EngineType.ONNX_RUNTIME].architectures == {Format.SAFETENSORS: frozenset(FAMILIES)}


def test_the_task_in_the_spec_wins_over_the_detected_one() -> None:
    with pytest.raises(UnsupportedModel, match="ObjectDetection"):
        build_launch(a_model(task="ObjectDetection"), an_artifact(task=Task.CHAT), model_path="/m", port=1)


def test_every_engine_and_every_task_has_its_line() -> None:
    assert set(SERVED) == set(EngineType) - {EngineType.AUTO}
    served = {task for each in SERVED.values() for task in each.tasks}
    assert served == set(Task) - {Task.AUTO}
