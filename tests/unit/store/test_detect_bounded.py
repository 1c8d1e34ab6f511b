"""A foreign file is read by a process with limits: whatever it does there, the caller gets an answer or a reason."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from folder_builders import sentence_files, write_files
from gguf_builders import bert_gguf, llama_gguf
from onnx_builders import encoder_onnx
from safetensors_builders import safetensors

from berth_api.artifact import Format, Task
from berth_api.errors import Unavailable, UnsupportedModel
from berth_store.detect import bounded, detect, detect_bounded


def test_the_answer_is_that_of_detection_itself(tmp_path: Path) -> None:
    write_files(tmp_path / "encoder", {**sentence_files(), "model.onnx": encoder_onnx()})
    write_files(tmp_path, {"chat.gguf": llama_gguf(), "open.gguf": bert_gguf(bert__pooling_type=None)})
    for name in ("encoder", "chat.gguf", "open.gguf"):
        assert detect_bounded(tmp_path / name) == detect(tmp_path / name)


def test_the_users_words_are_passed_on(tmp_path: Path) -> None:
    files = {**sentence_files(), "model.onnx": encoder_onnx(), "model.safetensors": safetensors()}
    write_files(tmp_path, files)
    found = detect_bounded(tmp_path, task=Task.EMBEDDING, formats={Format.SAFETENSORS})
    assert (found.format, found.task) == (Format.SAFETENSORS, Task.EMBEDDING)


def test_a_refusal_arrives_word_by_word(tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(llama_gguf()[:5000])
    with pytest.raises(UnsupportedModel) as here:
        detect(tmp_path / "cut.gguf")
    with pytest.raises(UnsupportedModel) as there:
        detect_bounded(tmp_path / "cut.gguf")
    assert str(there.value) == str(here.value)


def test_a_path_that_looks_like_an_option_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("--help").write_bytes(llama_gguf())
    assert detect_bounded(Path("--help")).task is Task.CHAT


def test_a_working_folder_with_hostile_modules_is_not_imported_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = dict.fromkeys(("json.py", "pydantic.py", "argparse.py"), "raise SystemExit(9)")
    write_files(tmp_path, {**hostile, "m.gguf": llama_gguf()})
    monkeypatch.chdir(tmp_path)
    assert detect_bounded(Path("m.gguf")).task is Task.CHAT


def test_reading_that_takes_too_much_memory_is_a_refusal(tmp_path: Path) -> None:
    header = b'{"t": ' + b" " * 90_000_000
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(UnsupportedModel, match="takes more than 100,000,000 bytes of memory"):
        detect_bounded(tmp_path / "model.safetensors", memory_bytes=100_000_000)


def test_reading_that_takes_too_much_processor_time_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spin = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass"
    monkeypatch.setattr(bounded, "child_command", lambda *_, **__: [sys.executable, "-c", spin])
    with pytest.raises(UnsupportedModel, match="too much processor time"):
        detect_bounded(tmp_path / "model.gguf")


def test_reading_that_a_busy_machine_does_not_get_to_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(llama_gguf())
    with pytest.raises(Unavailable, match=r"not read within 0\.001 seconds.*tried again") as late:
        detect_bounded(tmp_path / "model.gguf", timeout_seconds=0.001)
    assert late.value.retry_after_seconds


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        ("raise ZeroDivisionError('oh')", "failed with 'ZeroDivisionError: oh'"),
        ("print('{}')", "ended without an answer"),
        ("print('half an ans')", "ended without an answer"),
    ],
)
def test_a_process_that_breaks_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    monkeypatch.setattr(bounded, "child_command", lambda *_, **__: [sys.executable, "-c", code])
    with pytest.raises(UnsupportedModel) as refused:
        detect_bounded(tmp_path)
    assert why in str(refused.value)


def test_the_process_binds_itself_before_it_reads() -> None:
    code = (
        "import resource; from berth_store.detect.bounded import limit_myself; limit_myself(7, 1 << 30);"
        "print(*(resource.getrlimit(k)[0] for k in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_CORE)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    cpu, memory, core = map(int, printed.stdout.split())
    assert cpu <= 7
    assert memory <= 1 << 30
    assert core == 0


def test_the_module_answers_by_hand_too(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(llama_gguf())
    command = [sys.executable, "-m", "berth_store.detect", os.fspath(tmp_path / "model.gguf")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert '"task":"Chat"' in printed.stdout
