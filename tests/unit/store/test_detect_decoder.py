"""An ONNX graph that writes text is known by its cache; its settings are believed within bounds, and reach nothing."""

from pathlib import Path
from typing import Any

import pytest
from decoder_builders import VOCABULARY, decoder_files, decoder_onnx, genai_config
from folder_builders import write_files
from onnx_builders import FLOAT16, INT64, onnx_node, onnx_value

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import DecoderSettings, DetectedModel, detect

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 512}


def found(tmp_path: Path, **changes: Any) -> DetectedModel:
    return detect(write_files(tmp_path / "model", decoder_files(**changes)))


def decoder(tmp_path: Path, **changes: Any) -> DecoderSettings:
    settings = found(tmp_path, **changes).decoder
    assert settings is not None
    return settings


def refused(tmp_path: Path, **changes: Any) -> str:
    with pytest.raises(UnsupportedModel) as error:
        found(tmp_path, **changes)
    return str(error.value)


def test_a_folder_of_the_builder_is_a_model_that_chats(tmp_path: Path) -> None:
    model = found(tmp_path)
    assert model.artifact == Artifact(
        format=Format.ONNX,
        task=Task.CHAT,
        architecture="llama",
        parameters=32,
        quantization="F32",
        context_length=2048,
        kv_bytes_per_token=2 * 2 * 3 * 64 * 2,
        size_bytes=len(decoder_onnx()),
    )
    assert model.decoder == DecoderSettings(
        tokens="input_ids",
        mask="attention_mask",
        positions=None,
        logits="logits",
        past_keys=("past_key_values.0.key", "past_key_values.1.key"),
        past_values=("past_key_values.0.value", "past_key_values.1.value"),
        present_keys=("present.0.key", "present.1.key"),
        present_values=("present.0.value", "present.1.value"),
        heads=9,
        kv_heads=3,
        head_size=64,
        cache_type="F32",
        vocabulary=VOCABULARY,
        end_tokens=(2, 7),
        bos="<s>",
        eos="</s>",
    )
    assert (model.chat_template, model.tokenizer) == ("{{ messages }}", tmp_path / "model/tokenizer.json")


def test_without_a_template_it_completes(tmp_path: Path) -> None:
    assert found(tmp_path, **{"tokenizer_config.json": {}}).task is Task.COMPLETION


def test_the_graph_by_its_own_name_is_the_same_model(tmp_path: Path) -> None:
    folder = write_files(tmp_path, decoder_files())
    assert detect(folder / "model.onnx") == detect(folder)


def test_the_settings_name_the_graph_and_its_inputs(tmp_path: Path) -> None:
    graph = decoder_onnx(names="past", element_type=FLOAT16, positions=True)
    named = {
        "filename": "decoder/model.onnx",
        "inputs": {"past_key_names": "past.%d.key", "past_value_names": "past.%d.value"},
    }
    settings = decoder(
        tmp_path,
        **{
            "model.onnx": decoder_onnx(layers=1),
            "decoder/model.onnx": graph,
            "genai_config.json": genai_config(decoder=named),
        },
    )
    assert settings.past_values == ("past.0.value", "past.1.value")
    assert (settings.positions, settings.cache_type) == ("position_ids", "F16")


def test_an_export_for_transformers_js_is_driven_by_the_settings_of_transformers(tmp_path: Path) -> None:
    files = {
        "genai_config.json": None,
        "model.onnx": None,
        "onnx/model.onnx": decoder_onnx(positions=True),
        "config.json": {**CONFIG, "eos_token_id": 2},
        "generation_config.json": {"eos_token_id": [5, 6], "do_sample": True, "temperature": 0.7, "top_k": 20},
    }
    model = found(tmp_path, **files)
    assert (model.task, model.artifact.context_length) == (Task.CHAT, 512)
    assert model.decoder is not None
    assert (model.decoder.end_tokens, model.decoder.vocabulary) == ((5, 6), VOCABULARY)
    assert (model.decoder.temperature, model.decoder.top_k, model.decoder.top_p) == (0.7, 20, None)


def test_how_to_sample_is_taken_only_where_the_makers_sample(tmp_path: Path) -> None:
    asked = genai_config(search={"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 50})
    settings = decoder(tmp_path / "a", **{"genai_config.json": asked})
    assert (settings.temperature, settings.top_p, settings.top_k) == (0.6, 0.9, 50)
    settings = decoder(tmp_path / "b")
    assert (settings.temperature, settings.top_p, settings.top_k) == (None, None, None)


def test_other_work_that_is_asked_for_is_done_by_other_rules(tmp_path: Path) -> None:
    folder = write_files(tmp_path, decoder_files())
    with pytest.raises(UnsupportedModel, match="none is a vector of the text"):
        detect(folder, task=Task.EMBEDDING)


GRAPHS = {
    "no attention that writes in place": (decoder_onnx(nodes=[onnx_node("MatMul")]), "no operator GroupQueryAttention"),
    "no cache": (decoder_onnx(layers=0), "no cache among its inputs"),
    "a size that is open": (decoder_onnx(head_size="size"), "whose size 3 is to be a number"),  # type: ignore[arg-type]
    "a size out of reason": (decoder_onnx(kv_heads=1 << 20), "whose size 1 is to be a number"),
    "a cache of whole numbers": (decoder_onnx(element_type=INT64), "keeps its cache as I64"),
    "an input of its own": (
        decoder_onnx(inputs=[onnx_value("pixel_values", ("b", 3, 8, 8))]),
        "has the input `pixel_values`, and nobody says",
    ),
    "other names for what it gives": (
        decoder_onnx(names="present"),
        "no cache among its inputs (`past_key_values.%d.key`)",
    ),
}


@pytest.mark.parametrize(("graph", "says"), GRAPHS.values(), ids=GRAPHS.keys())
def test_a_graph_that_can_not_be_driven_says_why(tmp_path: Path, graph: bytes, says: str) -> None:
    said = refused(tmp_path, **{"model.onnx": graph})
    assert says in said
    assert "build it with the model builder of onnxruntime-genai" in said


SETTINGS: dict[str, tuple[Any, str]] = {
    "a library of operators": (
        genai_config(decoder={"session_options": {"custom_ops_library": "evil.so"}}),
        "sets `model.decoder.session_options.custom_ops_library`, which has an engine load or write files",
    ),
    "a provider with a file": (
        genai_config(decoder={"session_options": {"provider_options": [{"QNN": {"backend_path": "/tmp/x.so"}}]}}),
        "`model.decoder.session_options.provider_options[0].QNN.backend_path`",
    ),
    "a profile that is written": (
        genai_config(decoder={"session_options": {"enable_profiling": "/tmp/out"}}),
        "enable_profiling",
    ),
    "a path out of the folder": (genai_config(decoder={"filename": "../model.onnx"}), "outside the model's folder"),
    "a path from the root": (genai_config(decoder={"filename": "/etc/passwd"}), "outside the model's folder"),
    "no graph": (genai_config(decoder={"filename": ""}), "empty, overlong or broken name"),
    "a graph that is not there": (genai_config(decoder={"filename": "other.onnx"}), "no file of the model's folder"),
    "no decoder": ({"model": {"type": "llama"}}, "describes no decoder"),
    "a model that sees": (genai_config(vision={"filename": "vision.onnx"}), "the part `model.vision`"),
    "a model that listens": (genai_config(encoder={"filename": "e.onnx"}), "the part `model.encoder`"),
    "a decoder in pieces": (genai_config(decoder={"pipeline": [{}]}), "several graphs"),
    "a window that slides": (genai_config(decoder={"sliding_window": {"window_size": 4}}), "slides a window"),
    "an end that is no token": (genai_config(eos_token_id=["</s>"]), "`eos_token_id` is no token number"),
    "ends without end": (genai_config(eos_token_id=list(range(65))), "`eos_token_id` is no token number"),
    "a name with two places": (
        genai_config(decoder={"inputs": {"past_key_names": "past.%d.%d"}}),
        "`model.decoder.inputs.past_key_names` is not a name with one `%d`",
    ),
    "a name with another form": (genai_config(decoder={"outputs": {"logits": "%n"}}), "outputs.logits` is not a name"),
    "no JSON": (b"{", "is no JSON that can be used"),
    "too deep": (b'{"model":' * 100 + b"{}" + b"}" * 100, "nested more than 64 levels"),
}


@pytest.mark.parametrize(("settings", "says"), SETTINGS.values(), ids=SETTINGS.keys())
def test_settings_that_can_not_be_are_refused_by_name(tmp_path: Path, settings: Any, says: str) -> None:
    said = refused(tmp_path, **{"genai_config.json": settings})
    assert says in said
    assert "genai_config.json" in said


def test_a_window_that_the_graph_slides_by_itself_is_no_hindrance(tmp_path: Path) -> None:
    window = {"sliding_window": {"window_size": 4, "slide_inputs": False, "slide_key_value_cache": False}}
    assert decoder(tmp_path, **{"genai_config.json": genai_config(decoder=window)})


def test_options_that_reach_nothing_are_passed_over(tmp_path: Path) -> None:
    options = {
        "log_id": "onnxruntime-genai",
        "provider_options": [{"cuda": {"enable_cuda_graph": "0"}}],
        "enable_profiling": "",
    }
    assert decoder(tmp_path, **{"genai_config.json": genai_config(decoder={"session_options": options})})


def test_numbers_out_of_reason_count_as_unsaid(tmp_path: Path) -> None:
    odd = genai_config(context_length=-1, vocab_size=1 << 60, decoder={"num_attention_heads": "9"}, eos_token_id=400)
    model = found(tmp_path, **{"genai_config.json": odd})
    assert model.artifact.context_length is None
    assert model.decoder is not None
    assert (model.decoder.vocabulary, model.decoder.heads, model.decoder.end_tokens) == (VOCABULARY, 3, ())


def test_a_template_that_reaches_for_python_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, **{"chat_template.jinja": "{{ ''.__class__ }}"})
    assert "chat template" in said


def test_without_a_tokenizer_it_is_refused(tmp_path: Path) -> None:
    assert "has no tokenizer.json" in refused(tmp_path, **{"tokenizer.json": None})
