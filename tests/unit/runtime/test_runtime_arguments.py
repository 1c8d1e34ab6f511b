"""The command line: names made from paths, mistakes said before anything starts."""

from dataclasses import replace
from pathlib import Path

import pytest
from model_builders import a_model, an_artifact

from berth_api.artifact import EngineType, Format, Task
from berth_api.launch import GROUP_PORT, build_launch, member_argv
from berth_runtime.arguments import DraftArgument, ModelArgument, name_of, parse_arguments, parse_model


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/models/SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct-q4-1"),
        ("/models/all-MiniLM-L6-v2", "all-minilm-l6-v2"),
        ("/models/all-MiniLM-L6-v2/", "all-minilm-l6-v2"),
        ("/models/qwen2.5", "qwen2-5"),
        ("/models/___", "model"),
        ("/models/" + "x" * 90 + ".onnx", "x" * 50),
        ("/models/Face_Detection.TFLITE", "face-detection"),
    ],
)
def test_a_name_is_made_from_the_path(path: str, name: str) -> None:
    assert name_of(Path(path)) == name


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("smollm2=/m/x.gguf", ModelArgument("smollm2", Path("/m/x.gguf"))),
        ("a=b=c", ModelArgument("a", Path("b=c"))),
        ("/m/x=y.gguf", ModelArgument("x-y", Path("/m/x=y.gguf"))),
        ("Upper=/m/x", ModelArgument("x", Path("Upper=/m/x"))),
    ],
)
def test_a_model_may_have_a_name_of_its_own(text: str, model: ModelArgument) -> None:
    assert parse_model(text) == model


def test_what_a_launch_writes_is_understood(tmp_path: Path) -> None:
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages }}")
    argv = "--model m=/m --host 127.0.0.1 --port 8001 --engine LlamaCpp --task Chat --context-length 4096"
    more = f"--parallel-sequences 8 --chat-template {template} --drain-timeout 120 --engine-arg threads=2"
    options = parse_arguments(f"{argv} {more} --engine-arg flash-attn=on".split())
    assert (options.engine, options.task, options.port) == (EngineType.LLAMA_CPP, Task.CHAT, 8001)
    assert (options.context_length, options.parallel_sequences, options.drain_timeout_seconds) == (4096, 8, 120)
    assert options.engine_args == {"threads": "2", "flash-attn": "on"}
    assert options.chat_template == "{{ messages }}"


def test_what_a_launch_writes_for_a_group_is_understood() -> None:
    accelerator = {"memory": "80Gi", "count": 4, "nodes": 3}
    model = a_model("qwen", engine={"type": "VLLM"}, accelerator=accelerator)
    launch = build_launch(model, an_artifact(Format.SAFETENSORS, Task.CHAT), model_path="/models/model", port=8000)
    head, member = (parse_arguments(argv[3:]) for argv in (launch.argv, member_argv(launch.argv, "qwen-head.ai.svc")))
    assert (head.group_size, head.head, head.group_port) == (3, None, GROUP_PORT)
    assert member == replace(head, head="qwen-head.ai.svc")
    assert parse_arguments(["--model", "/x"]).group_size == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("", "--model"),
        ("--model a=/x --model a=/y", "two models are to be served as 'a'"),
        ("--model /x/m.gguf --model /y/m.gguf", "NAME=PATH"),
        ("--model /x --port 99999", "99999 is no port"),
        ("--model /x --context-length 0", "less than 1"),
        ("--model /x --chat-template /nowhere", "/nowhere can't be read"),
        ("--model /x --engine-arg threads", "not NAME=VALUE"),
        ("--model /x --adapter SQL=/a", "'SQL=/a' is not NAME=PATH with a name of at most 50 small letters"),
        ("--model /x --adapter /a", "'/a' is not NAME=PATH"),
        ("--model /x --adapter a=/a --adapter a=/b", "two adapters have the same name"),
        ("--model /x --model /y --adapter a=/a", "--adapter belongs to one model"),
        ("--model /x --model /y --draft /a", "--draft belongs to one model"),
        ("--model /x --draft /a --draft-tokens 0", "less than 1"),
        ("--model /x --draft /a --draft-min-probability 2", "2 is no probability"),
        ("--model /x --engine Nonsense", "invalid EngineType value: 'Nonsense'"),
        ("--model /x --drain-timeout -1", "no number of seconds"),
        ("--model /x --memory much", "`much` is no quantity; write a Kubernetes quantity, such as `4Gi`"),
        ("--model /x --memory 0", "0 is less than a byte"),
        ("--model /x --engine VLLM --memory 8Gi", "--engine-arg gpu-memory-utilization=SHARE"),
        ("--model /x --engine VLLM --head h", "say of how many pods, all in all: --group-size N"),
        ("--model /x --engine LlamaCpp --group-size 2", "--group-size is for VLLM"),
        ("--model /x --group-size 2 --head h", "--group-size is for VLLM"),
        ("--model /x --engine VLLM --group-size 1", "1 is less than 2"),
        ("--model /x --engine VLLM --group-size 2 --group-port 99999", "99999 is no port"),
    ],
)
def test_a_mistake_ends_it_with_a_sentence(argv: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(argv.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_draft_model_has_llamacpps_own_reach_unless_one_is_said() -> None:
    assert parse_arguments(["--model", "/x"]).draft is None
    assert parse_arguments(["--model", "/x", "--draft", "/a"]).draft == DraftArgument(Path("/a"), 3, 0.0)
    words = ["--draft-tokens", "8", "--draft-min-probability", "0.5"]
    assert parse_arguments(["--model", "/x", "--draft", "/a", *words]).draft == DraftArgument(Path("/a"), 8, 0.5)


def test_several_files_may_be_held() -> None:
    assert parse_arguments(["--model", "/x", "--hold", "/a", "--hold", "/b"]).holds == (Path("/a"), Path("/b"))
