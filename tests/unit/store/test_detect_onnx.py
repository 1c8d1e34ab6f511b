"""An ONNX folder becomes a model whose task its outputs and settings state; what they leave open is asked for."""

from pathlib import Path
from typing import Any

import onnx_builders as build
import pytest
from folder_builders import SENTENCE_MODULES, sentence_files, write_files
from onnx_builders import TEXT, encoder_onnx, onnx_value, onnx_with_outputs

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import EmbeddingSettings, Pooling, detect

LOGITS_2 = onnx_with_outputs(onnx_value("logits", ("batch", 2)))
PICTURES = (onnx_value("pixel_values", ("batch", 3, 224, 224)),)


def encoder_files(**changes: Any) -> dict[str, Any]:
    return {**sentence_files(), "model.onnx": encoder_onnx(), **changes}


def test_an_encoder_with_its_settings_embeds(tmp_path: Path) -> None:
    found = detect(write_files(tmp_path, encoder_files()))
    assert found.artifact == Artifact(
        format=Format.ONNX,
        task=Task.EMBEDDING,
        architecture="bert",
        parameters=32,
        quantization="F32",
        context_length=512,
        size_bytes=len(encoder_onnx()),
    )
    assert found.embedding == EmbeddingSettings(
        Pooling.MEAN, normalize=True, max_sequence_length=256, dimensions=8, output="last_hidden_state"
    )
    assert (found.weights, found.tokenizer) == ((tmp_path / "model.onnx",), tmp_path / "tokenizer.json")


def test_a_graph_that_makes_the_texts_vector_itself_needs_no_pooling(tmp_path: Path) -> None:
    outputs = [onnx_value("last_hidden_state", ("b", "s", 8)), onnx_value("sentence_embedding", ("b", 8))]
    found = detect(write_files(tmp_path, {"model.onnx": onnx_with_outputs(*outputs), "tokenizer.json": {}}))
    assert found.embedding == EmbeddingSettings(Pooling.IN_GRAPH, dimensions=8, output="sentence_embedding")


@pytest.mark.parametrize(
    ("key", "pooling"),
    [
        ("pooling_mode_cls_token", Pooling.CLS),
        ("pooling_mode_mean_tokens", Pooling.MEAN),
        ("pooling_mode_max_tokens", Pooling.MAX),
        ("pooling_mode_mean_sqrt_len_tokens", Pooling.MEAN_SQRT_LENGTH),
        ("pooling_mode_weightedmean_tokens", Pooling.WEIGHTED_MEAN),
        ("pooling_mode_lasttoken", Pooling.LAST),
    ],
)
def test_each_pooling_of_the_settings_is_known(tmp_path: Path, key: str, pooling: Pooling) -> None:
    found = detect(write_files(tmp_path, {**encoder_files(), **sentence_files(**{key: True})}))
    assert found.embedding is not None
    assert found.embedding.pooling is pooling


def test_the_pooling_may_be_stated_in_one_word(tmp_path: Path) -> None:
    changes = {"1_Pooling/config.json": {"pooling_mode": "lasttoken", "include_prompt": False}}
    embedding = detect(write_files(tmp_path, encoder_files(**changes))).embedding
    assert embedding is not None
    assert (embedding.pooling, embedding.include_prompt) == (Pooling.LAST, False)


def test_two_poolings_end_to_end_are_refused(tmp_path: Path) -> None:
    files = {**encoder_files(), **sentence_files(pooling_mode_cls_token=True, pooling_mode_max_tokens=True)}
    with pytest.raises(UnsupportedModel, match="joins cls and max end to end"):
        detect(write_files(tmp_path, files))


def test_vectors_are_normalised_only_where_the_modules_say_so(tmp_path: Path) -> None:
    found = detect(write_files(tmp_path, encoder_files(**{"modules.json": SENTENCE_MODULES[:2]})))
    assert found.embedding is not None
    assert not found.embedding.normalize


def test_a_module_after_the_graph_that_no_engine_runs_is_refused(tmp_path: Path) -> None:
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    files = encoder_files(**{"modules.json": [*SENTENCE_MODULES[:2], dense]})
    with pytest.raises(UnsupportedModel, match="the modules Dense"):
        detect(write_files(tmp_path, files))


def test_modules_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    pooling = {"path": "../1_Pooling", "type": "sentence_transformers.models.Pooling"}
    with pytest.raises(UnsupportedModel, match=r"modules\.json has an entry .* that leads out"):
        detect(write_files(tmp_path, encoder_files(**{"modules.json": [pooling]})))


def test_the_default_prompt_is_read(tmp_path: Path) -> None:
    prompts = {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "query"}
    found = detect(write_files(tmp_path, encoder_files(**{"config_sentence_transformers.json": prompts})))
    assert found.embedding is not None
    assert found.embedding.default_prompt == "query: "


@pytest.mark.parametrize(
    ("settings", "length"),
    [
        ({"sentence_bert_config.json": {"max_seq_length": None}}, 512),
        ({"sentence_bert_config.json": {}, "tokenizer_config.json": {"model_max_length": 128}}, 128),
        ({"sentence_bert_config.json": {}, "tokenizer_config.json": {"model_max_length": 10**30}}, 512),
        ({"sentence_bert_config.json": {"max_seq_length": 4096}}, 512),
        (
            {
                "sentence_bert_config.json": {},
                "config.json": {"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1},
            },
            512,
        ),
    ],
)
def test_the_longest_text_is_the_stated_one_within_the_models_positions(
    tmp_path: Path, settings: dict[str, Any], length: int
) -> None:
    found = detect(write_files(tmp_path, encoder_files(**settings)))
    assert found.embedding is not None
    assert found.embedding.max_sequence_length == length


def test_an_encoder_without_a_pooling_is_asked_about(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.onnx": encoder_onnx(), "tokenizer.json": {}})
    with pytest.raises(UnsupportedModel, match=r"last_hidden_state.*set `spec\.task`"):
        detect(tmp_path)
    found = detect(tmp_path, task=Task.EMBEDDING)
    assert found.embedding == EmbeddingSettings(None, dimensions=8, output="last_hidden_state")


def test_embedding_by_a_graph_without_vectors_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.onnx": LOGITS_2, "tokenizer.json": {}})
    with pytest.raises(UnsupportedModel, match="has the outputs logits, and none is a vector"):
        detect(tmp_path, task=Task.EMBEDDING)


CLASSES = {"id2label": {"0": "neg", "1": "pos"}}
TASKS: dict[str, tuple[bytes, dict[str, Any], Task]] = {
    "logits of texts": (LOGITS_2, CLASSES, Task.TEXT_CLASSIFICATION),
    "one score for each text": (onnx_with_outputs(onnx_value("logits", ("batch", 1))), {}, Task.RERANK),
    "one label in the settings": (
        onnx_with_outputs(onnx_value("logits", ("batch", "labels"))),
        {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}},
        Task.RERANK,
    ),
    "logits of tokens": (
        onnx_with_outputs(onnx_value("logits", ("batch", "sequence", 9))),
        {"architectures": ["BertForTokenClassification"]},
        Task.TOKEN_CLASSIFICATION,
    ),
    "logits of pictures": (
        onnx_with_outputs(onnx_value("logits", ("batch", 1000)), inputs=PICTURES),
        {"preprocessor_config.json": {"size": {"height": 224, "width": 224}}},
        Task.IMAGE_CLASSIFICATION,
    ),
    "boxes": (
        onnx_with_outputs(
            onnx_value("logits", ("b", 100, 92)), onnx_value("pred_boxes", ("b", 100, 4)), inputs=PICTURES
        ),
        {"preprocessor_config.json": {"size": {"height": 224, "width": 224}}},
        Task.OBJECT_DETECTION,
    ),
    "a charset": (
        onnx_with_outputs(
            onnx_value("softmax_0", ("b", "t", 5)),
            inputs=[onnx_value("x", ("b", 3, 48, "w"))],
            metadata={"character": "a\nb\nc"},
        ),
        {},
        Task.TEXT_RECOGNITION,
    ),
}


@pytest.mark.parametrize(("graph", "settings", "task"), TASKS.values(), ids=TASKS.keys())
def test_the_outputs_and_the_settings_state_the_task(
    tmp_path: Path, graph: bytes, settings: dict[str, Any], task: Task
) -> None:
    files = {"model.onnx": graph, "config.json": settings, "tokenizer.json": {}}
    for name in ("chat_template.jinja", "preprocessor_config.json"):
        if name in settings:
            files[name] = settings.pop(name)
    assert detect(write_files(tmp_path, files)).task is task


def test_the_labels_are_those_of_the_settings(tmp_path: Path) -> None:
    found = detect(write_files(tmp_path, {"model.onnx": LOGITS_2, "config.json": CLASSES, "tokenizer.json": {}}))
    assert found.labels == ("neg", "pos")


def test_logits_of_a_masked_language_model_are_asked_about(tmp_path: Path) -> None:
    graph = onnx_with_outputs(onnx_value("logits", ("b", "s", 30522)))
    settings = {"architectures": ["BertForMaskedLM"]}
    with pytest.raises(UnsupportedModel, match=r"model\.onnx: its task is open"):
        detect(write_files(tmp_path, {"model.onnx": graph, "config.json": settings, "tokenizer.json": {}}))


def test_text_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    files = encoder_files()
    del files["tokenizer.json"]
    with pytest.raises(UnsupportedModel, match=r"has no tokenizer\.json"):
        detect(write_files(tmp_path, files))


def test_a_graph_that_tokenizes_by_itself_needs_no_tokenizer(tmp_path: Path) -> None:
    graph = onnx_with_outputs(onnx_value("sentence_embedding", ("b", 8)), inputs=[onnx_value("text", ("b",), TEXT)])
    assert detect(write_files(tmp_path, {"model.onnx": graph})).tokenizer is None


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["model.onnx", "model_quantized.onnx"], "model.onnx"),
        (["only.onnx"], "only.onnx"),
        (["onnx/model.onnx", "onnx/model_O2.onnx"], "onnx/model.onnx"),
        (["onnx/only.onnx"], "onnx/only.onnx"),
        (["model.onnx", "onnx/model.onnx"], "model.onnx"),
    ],
)
def test_of_several_graphs_the_documented_one_is_taken(tmp_path: Path, names: list[str], chosen: str) -> None:
    files = {**sentence_files(), **{name: encoder_onnx() for name in names}}
    assert detect(write_files(tmp_path, files)).weights == (tmp_path / chosen,)


def test_several_graphs_without_order_are_asked_about(tmp_path: Path) -> None:
    files = {**sentence_files(), "onnx/a.onnx": encoder_onnx(), "onnx/b.onnx": encoder_onnx()}
    with pytest.raises(UnsupportedModel, match=r"several ONNX graphs: onnx/a\.onnx, onnx/b\.onnx; name the one"):
        detect(write_files(tmp_path, files))
    assert detect(tmp_path / "onnx" / "b.onnx").root == tmp_path


def test_weights_beside_the_graph_are_part_of_it(tmp_path: Path) -> None:
    tensor = build.onnx_tensor("w", (2, 4), external={"location": "model.onnx_data"})
    outputs = [onnx_value("sentence_embedding", ("b", 4))]
    graph = build.onnx(build.onnx_graph(inputs=build.TOKEN_INPUTS, outputs=outputs, initializers=[tensor]))
    files = {"onnx/model.onnx": graph, "onnx/model.onnx_data": b"\0" * 32, "tokenizer.json": {}}
    found = detect(write_files(tmp_path, files))
    assert found.weights == (tmp_path / "onnx/model.onnx", tmp_path / "onnx/model.onnx_data")
    assert found.artifact.size_bytes == len(graph) + 32


def test_weights_in_the_store_behind_links_are_the_models_own(tmp_path: Path) -> None:
    blobs, view = tmp_path / "blobs" / "sha256", tmp_path / "views" / "abc"
    for number, (name, content) in enumerate(encoder_files().items()):
        write_files(blobs, {str(number): content})
        (view / name).parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (name.count("/") + 2)
        (view / name).symlink_to(f"{up}blobs/sha256/{number}")
    found = detect(view)
    assert (found.task, found.weights) == (Task.EMBEDDING, (view / "model.onnx",))


@pytest.mark.parametrize("name", ["config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"])
@pytest.mark.parametrize("content", ["[1]", "{", '"x"', "[" * 100_000, '{"a": 1, "a": 2}'])
def test_settings_of_the_wrong_shape_are_refused_or_count_as_unsaid(tmp_path: Path, name: str, content: str) -> None:
    write_files(tmp_path, encoder_files(**{name: content}))
    with pytest.raises(UnsupportedModel, match=name.rsplit("/", 1)[-1]):
        detect(tmp_path)


WRONG: list[object] = [None, 1, -5, 2.5, "x", "", [], {}, True, [None], {"a": []}, 10**40]


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_values_of_the_wrong_type_never_break_detection(tmp_path: Path, value: object) -> None:
    keys = {
        "config.json": ("architectures", "model_type", "max_position_embeddings", "id2label", "num_labels", "auto_map"),
        "1_Pooling/config.json": ("word_embedding_dimension", "pooling_mode", "include_prompt"),
        "config_sentence_transformers.json": ("prompts", "default_prompt_name", "model_type"),
        "tokenizer_config.json": ("chat_template", "model_max_length"),
        "sentence_bert_config.json": ("max_seq_length",),
    }
    changes = {name: dict.fromkeys(wrong, value) for name, wrong in keys.items()}
    changes["1_Pooling/config.json"]["pooling_mode_mean_tokens"] = True
    found = detect(write_files(tmp_path, encoder_files(**changes)))
    assert found.task is Task.EMBEDDING
