"""Which files of a source are fetched: by patterns, and without them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_api.errors import PickleRefused
from berth_api.trust import Trust
from berth_store.errors import NoModelInSource
from berth_store.sources.patterns import matches
from berth_store.sources.protocol import ListedFile
from berth_store.sources.selection import quantization_of, select_matching, select_model

ORIGIN = "hf://org/model"


def listed(*paths: str) -> list[ListedFile]:
    return [ListedFile(path, 1, version='"v"') for path in paths]


def chosen(*paths: str, quantization: str = "") -> list[str]:
    return [file.path for file in select_model(listed(*paths), quantization, ORIGIN).files]


def refusal(*paths: str, quantization: str = "") -> str:
    with pytest.raises(NoModelInSource) as refused:
        chosen(*paths, quantization=quantization)
    return str(refused.value)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.json", "config.json", True),
        ("*.json", "1_Pooling/config.json", True),
        ("*.json", "config.jsonl", False),
        ("config.json", "a/config.json", True),
        ("a/*.json", "a/config.json", True),
        ("a/*.json", "a/b/config.json", False),
        ("a/**/*.json", "a/b/c/config.json", True),
        ("a/**/*.json", "a/config.json", True),
        ("**/x", "x", True),
        ("a/**", "a/b/c", True),
        ("model-0000[1-3].gguf", "model-00002.gguf", True),
        ("model-0000[!1-3].gguf", "model-00002.gguf", False),
        ("a[/]b", "a/b", False),
        ("a?b", "a/b", False),
        ("[", "[", True),
        ("[z-a]", "b", False),
        ("**", "a/b", True),
        ("a/**", "a", False),
        ("a**b", "a-x-b", True),
        ("[!a]", "b", True),
        ("a.b", "axb", False),
    ],
)
def test_a_pattern_means(pattern: str, path: str, fits: bool) -> None:
    assert matches(path, [pattern]) is fits


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_a_pattern(pattern: str, path: str) -> None:
    matches(path, [pattern])


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    assert not matches("a" * 200, ["*a" * 100 + "*b"])
    assert not matches("a/" * 60 + "a", ["**/a/" * 30 + "b"])


def test_safetensors_come_with_what_lies_beside_them_and_nothing_else() -> None:
    wanted = ["LICENSE", "1_Pooling/config.json", "2_Dense/model.safetensors", "config.json", "merges.txt"]
    wanted += ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    wanted += ["spiece.model", "tokenizer.json"]
    needless = ["pytorch_model-00001-of-00002.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx"]
    needless += ["onnx/config.json", "openvino/openvino_model.bin", "README.md", ".gitattributes", "modeling_x.py"]
    needless += ["training_args.bin", "optimizer.pt", "model-q4.gguf", "original/consolidated.00.pth", "plot.png"]
    needless += ["consolidated.safetensors", "checkpoint-500/model.safetensors", "rust_model.ot"]
    selection = select_model(listed(*wanted, *needless), "", ORIGIN)
    assert sorted(file.path for file in selection.files) == sorted(wanted)
    assert any("model-q4.gguf" in note for note in selection.notes), "what somebody may have wanted is told"


def test_a_repository_of_thousands_of_files_takes_no_time() -> None:
    paths = [f"model-{number:05d}.safetensors" for number in range(4000)]
    begun = time.monotonic()
    assert len(chosen(*paths, *(f"{number}.onnx" for number in range(16000)))) == 4000
    assert time.monotonic() - begun < 5


def test_of_two_precisions_the_plain_one_is_taken() -> None:
    assert chosen("model.safetensors", "model.fp16.safetensors") == ["model.safetensors"]
    assert chosen("model.fp16.safetensors") == ["model.fp16.safetensors"]


def test_consolidated_weights_are_taken_where_there_are_no_others() -> None:
    assert chosen("consolidated.safetensors", "params.json") == ["consolidated.safetensors", "params.json"]


def test_a_quantisation_chooses_one_gguf_with_all_its_shards() -> None:
    files = ["m-Q4_K_M.gguf", "m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf", "config.json", "LICENSE"]
    assert chosen(*files, quantization="Q8_0") == [*files[1:3], "LICENSE"]
    assert chosen(*files, "model.safetensors", quantization="Q4_K_M") == [files[0], "LICENSE"]


def test_several_quantisations_are_a_question_that_lists_them() -> None:
    said = refusal("m-Q4_K_M.gguf", "m.Q8_0.gguf", "BF16/m-BF16-00001-of-00002.gguf", "BF16/m-BF16-00002-of-00002.gguf")
    assert said == (
        "hf://org/model: there are 3 GGUF models; write one after a colon at the end of the address: BF16, Q4_K_M, Q8_0"
    )
    assert "no GGUF is Q2_K; write one after a colon" in refusal("m-Q4_K_M.gguf", quantization="Q2_K")
    assert "name one in spec.source.files: a-Q8_0.gguf, b-Q8_0.gguf" in refusal("a-Q8_0.gguf", "b-Q8_0.gguf")


def test_one_gguf_needs_no_word_and_takes_one_projector_along() -> None:
    files = ["model.gguf", "mmproj-F32.gguf", "mmproj-F16.gguf", "imatrix.gguf"]
    assert chosen(*files) == ["model.gguf", "mmproj-F16.gguf"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
        ("qwen3.q8_0.gguf", "Q8_0"),
        ("m-UD-IQ2_XXS-00001-of-00002.gguf", "UD-IQ2_XXS"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("BF16/x-BF16.gguf", "BF16"),
        ("model.gguf", ""),
        ("llama-2-7b.gguf", ""),
    ],
)
def test_a_files_name_tells_its_quantisation(path: str, found: str) -> None:
    assert quantization_of(path) == found


def test_onnx_is_taken_where_there_is_nothing_better() -> None:
    files = ["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model_fp16.onnx", "config.json", "tokenizer.json"]
    assert sorted(chosen(*files)) == ["config.json", *sorted(files[:2]), "tokenizer.json"]
    assert "name one, and the settings beside it" in refusal("encoder.onnx", "decoder.onnx")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["model.tar.gz"], "archives are not unpacked"),
        (["README.md"], "there are no weights in safetensors, GGUF, ONNX or TFLite; there are README.md"),
        ([], "it is empty"),
    ],
)
def test_a_source_without_weights_says_what_there_is(files: list[str], said: str) -> None:
    assert said in refusal(*files)


def test_pickles_are_fetched_only_where_they_are_trusted_and_alone() -> None:
    files = listed("pytorch_model.bin", "training_args.bin", "optimizer.pt", "config.json", "modeling.py", "a.png")
    with pytest.raises(PickleRefused, match=r"are pickles \(pytorch_model\.bin, .*set `spec\.trust\.pickle`"):
        select_model(files, "", ORIGIN)
    taken = select_model(files, "", ORIGIN, Trust(pickle=True)).files
    assert [file.path for file in taken] == ["pytorch_model.bin", "config.json"]
    better = select_model([*files, *listed("model.safetensors")], "", ORIGIN, Trust(pickle=True)).files
    assert [file.path for file in better] == ["config.json", "model.safetensors"]
    with pytest.raises(NoModelInSource, match=r"none of its pickles \(x\.pt\) is pytorch_model\.bin"):
        select_model(listed("x.pt"), "", ORIGIN, Trust(pickle=True))


def test_code_is_fetched_only_where_it_is_trusted() -> None:
    files = listed("model.safetensors", "modeling.py", "lib/layers.py", "onnx/export.py", ".x/hidden.py", "a.sh")
    assert [file.path for file in select_model(files, "", ORIGIN).files] == ["model.safetensors"]
    taken = select_model(files, "", ORIGIN, Trust(remote_code=True)).files
    assert [file.path for file in taken] == ["model.safetensors", "modeling.py", "lib/layers.py"]


def test_patterns_take_what_they_match_and_no_pickle_unasked() -> None:
    files = listed("model.safetensors", "pytorch_model.bin", "config.json", "README.md")
    selection = select_matching(files, ["*model*", "*.md"], ORIGIN)
    assert [file.path for file in selection.files] == ["model.safetensors", "README.md"]
    assert "pytorch_model.bin passed over" in selection.notes[0]
    with pytest.raises(PickleRefused, match="matches pickles only"):
        select_matching(files, ["*.bin"], ORIGIN)
    assert len(select_matching(files, ["*.bin"], ORIGIN, Trust(pickle=True)).files) == 1
    with pytest.raises(NoModelInSource, match=r"no file matches spec\.source\.files \(\*\.onnx\); there are model"):
        select_matching(files, ["*.onnx"], ORIGIN)
