"""From what an engine said to one sentence. The first texts are what llama.cpp and Python really write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_runtime.diagnosis import RULES, explain_exit

CASES = [
    (
        70,
        (
            "0.00.060.996 E llama_model_load: error loading model: unknown model architecture: 'lxama'\n"
            "0.00.061.022 E llama_model_load_from_file_impl: failed to load model\nRuntimeError: Failed to init server"
        ),
        "does not know the architecture 'lxama'",
        True,
    ),
    (
        70,
        (
            "0.00.036.079 E llama_model_load: error loading model: tensor 'blk.15.attn_output.weight' data is not "
            "within the file bounds, model is corrupted or incomplete"
        ),
        "the tensor 'blk.15.attn_output.weight' lies outside of it",
        True,
    ),
    (70, "gguf_init_from_reader: invalid magic characters: 'hell', expected 'GGUF'", "no whole GGUF file", True),
    (70, "0.00.007.952 E gguf_init_from_reader: failed to read key-value pairs", "no whole GGUF file", True),
    (70, "this GGUF file is version 9 but this software only supports up to version 3", "Convert the model", True),
    (
        70,
        "gguf_init_from_file: failed to open GGUF file 'c/x.gguf' (No such file or directory)",
        "can't be opened (No such file or directory)",
        False,
    ),
    (-6, "terminate called after throwing an instance of 'std::bad_alloc'", "not enough memory", False),
    (70, "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 9", "not enough memory", False),
    (70, "ModuleNotFoundError: No module named 'xllamacpp'", "library is missing here (No module named", True),
    (70, "onnxruntime.capi.InvalidProtobuf: [ONNXRuntimeError] : 7", "no whole ONNX file", True),
    (-9, "", "killed from outside (SIGKILL), most likely because memory ran out", False),
    (-4, "", "instructions that this processor does not have", False),
    (-11, "0.00.000.001 E loading layer 7", "crashed (SIGSEGV) after saying: loading layer 7", False),
    (70, "Traceback (most recent call last):\nValueError: odd\n\n", "ended with status 70: ValueError: odd", False),
    (0, "", "ended with status 0 and gave no reason.", False),
]


@pytest.mark.parametrize(("status", "said", "sentence", "permanent"), CASES)
def test_the_end_of_a_worker_is_explained(status: int, said: str, sentence: str, permanent: bool) -> None:
    cause = explain_exit(status, said)
    assert sentence in cause.sentence
    assert cause.permanent is permanent


@given(st.integers(-64, 255), st.text())
def test_whatever_is_said_there_is_one_sentence(status: int, said: str) -> None:
    cause = explain_exit(status, said)
    assert cause.sentence
    assert len(cause.sentence) < 700


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern.pattern[:30])
def test_each_rule_fills_its_sentence(rule: object) -> None:
    assert rule.sentence.format(*[""] * rule.pattern.groups).endswith((".", ")."))  # type: ignore[attr-defined]
