"""A GGUF file, its shards or a folder of them become one model, with the task that its header states."""

from pathlib import Path
from typing import Any

import gguf_builders as build
import pytest
from folder_builders import write_files
from gguf_builders import CHAT_TEMPLATE, Strings, Typed, bert_gguf, gguf, llama_gguf, write_gguf_shards

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect import EmbeddingSettings, Pooling, detect


def write(tmp_path: Path, content: bytes, name: str = "tiny.gguf") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_a_file_with_a_chat_template_chats(tmp_path: Path) -> None:
    path = write(tmp_path, llama_gguf())
    found = detect(path)
    assert found.artifact == Artifact(
        format=Format.GGUF,
        task=Task.CHAT,
        architecture="llama",
        parameters=23_360,
        quantization="Q4_1",
        context_length=2048,
        size_bytes=path.stat().st_size,
    )
    assert (found.root, found.weights, found.chat_template) == (tmp_path, (path,), CHAT_TEMPLATE)
    assert (found.embedding, found.projector, found.notes) == (None, None, ())


def test_a_file_without_one_completes(tmp_path: Path) -> None:
    assert detect(write(tmp_path, llama_gguf(tokenizer__chat_template=None))).task is Task.COMPLETION


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    assert detect(write(tmp_path, llama_gguf(), "weights.onnx")).format is Format.GGUF


def test_an_encoder_embeds_with_the_pooling_of_its_header(tmp_path: Path) -> None:
    found = detect(write(tmp_path, bert_gguf(bert__pooling_type=2)))
    assert found.task is Task.EMBEDDING
    assert found.embedding == EmbeddingSettings(Pooling.CLS, normalize=True, max_sequence_length=512, dimensions=64)


def test_an_encoder_that_states_no_pooling_embeds_and_leaves_it_open(tmp_path: Path) -> None:
    found = detect(write(tmp_path, bert_gguf(bert__pooling_type=None)))
    assert found.embedding is not None
    assert found.embedding.pooling is None


def test_a_decoder_with_a_pooling_embeds(tmp_path: Path) -> None:
    found = detect(write(tmp_path, llama_gguf(llama__pooling_type=3)))
    assert (found.task, found.embedding and found.embedding.pooling) == (Task.EMBEDDING, Pooling.LAST)


def test_a_pooling_by_rank_reranks(tmp_path: Path) -> None:
    assert detect(write(tmp_path, bert_gguf(bert__pooling_type=4))).task is Task.RERANK


def test_a_pooling_by_rank_with_several_labels_classifies(tmp_path: Path) -> None:
    content = bert_gguf(bert__pooling_type=4, bert__classifier__output_labels=Strings(["no", "yes"]))
    found = detect(write(tmp_path, content))
    assert (found.task, found.labels) == (Task.TEXT_CLASSIFICATION, ("no", "yes"))


@pytest.mark.parametrize(
    "changes",
    [
        {"qwen3__classifier__output_labels": Strings(["yes", "no"])},
        {"qwen3__classifier__output_labels": Strings(["A", "B"]), "tokenizer__chat_template__rerank": "{query}"},
    ],
)
def test_a_model_that_says_yes_or_no_to_a_document_reranks(tmp_path: Path, changes: dict[str, Any]) -> None:
    content = llama_gguf(general__architecture="qwen3", qwen3__pooling_type=4, **changes)
    assert detect(write(tmp_path, content)).task is Task.RERANK


@pytest.mark.parametrize(("classes", "task"), [(1, Task.RERANK), (3, Task.TEXT_CLASSIFICATION)])
def test_a_head_tells_the_task_where_no_pooling_is_stated(tmp_path: Path, classes: int, task: Task) -> None:
    tensors = [build.Tensor("token_embd.weight", (64, 10)), build.Tensor("cls.output.weight", (64, classes))]
    content = bytes(gguf(build.bert_metadata(bert__pooling_type=None), tensors).content)
    assert detect(write(tmp_path, content)).task is task


@pytest.mark.parametrize("key", ["tokenizer__chat_template", "tokenizer__chat_template__tool_use"])
def test_a_template_that_is_no_template_any_more_is_refused(tmp_path: Path, key: str) -> None:
    content = llama_gguf(**{key: "x" * ((1 << 20) + 1)})
    path = write(tmp_path, content)
    with pytest.raises(UnsupportedModel, match="chat template of more than 1,048,576 bytes"):
        detect(path)
    assert detect(path, own_template=True).artifact.format is Format.GGUF, "the user's own takes its place"


def test_a_model_that_sees_all_at_once_without_pooling_is_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path, llama_gguf(llama__attention__causal=False))
    with pytest.raises(UnsupportedModel, match=r"set `spec\.task` .* Embedding, Chat, Completion"):
        detect(path)
    assert detect(path, task=Task.EMBEDDING).task is Task.EMBEDDING


def test_the_users_task_wins(tmp_path: Path) -> None:
    found = detect(write(tmp_path, llama_gguf()), task=Task.EMBEDDING)
    assert (found.task, found.embedding is not None) == (Task.EMBEDDING, True)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"general__type": "adapter"}, "an adapter (LoRA) for another model"),
        ({"general__type": "imatrix"}, "an importance matrix"),
        ({"general__type": "mmproj"}, "a multimodal projector"),
        ({"general__architecture": "clip"}, "a multimodal projector"),
        ({"general__architecture": None}, "does not state `general.architecture`"),
    ],
)
def test_a_part_of_a_model_is_no_model(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(UnsupportedModel) as refused:
        detect(write(tmp_path, llama_gguf(**changes)))
    assert why in str(refused.value)


def test_a_vocabulary_alone_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="holds no weights, only a vocabulary"):
        detect(write(tmp_path, bytes(gguf(build.llama_metadata()).content)))


def test_shards_are_one_model_whichever_is_named(tmp_path: Path) -> None:
    shards = write_gguf_shards(tmp_path, "big", 3)
    for path in (*shards, tmp_path):
        found = detect(path)
        assert found.weights == tuple(shards)
        assert found.artifact.parameters == 3 * 128
        assert found.artifact.size_bytes == sum(shard.stat().st_size for shard in shards)
        assert found.chat_template == CHAT_TEMPLATE


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    shards = write_gguf_shards(tmp_path, "big", 3)
    shards[1].unlink()
    for path in (shards[0], tmp_path):
        with pytest.raises(UnsupportedModel, match=r"without 1 of its files: big-00002-of-00003\.gguf"):
            detect(path)


def test_a_missing_first_shard_is_named(tmp_path: Path) -> None:
    shards = write_gguf_shards(tmp_path, "big", 2)
    shards[0].unlink()
    with pytest.raises(UnsupportedModel, match=r"big-00001-of-00002\.gguf"):
        detect(tmp_path)


def test_shards_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    shards = write_gguf_shards(tmp_path, "big", 3)
    shards[1].rename(tmp_path / "spare")
    shards[2].rename(shards[1])
    (tmp_path / "spare").rename(shards[2])
    with pytest.raises(UnsupportedModel, match="says that it is file 3 of 3, and its name says 2 of 3"):
        detect(shards[0])


def test_shards_of_different_models_are_refused(tmp_path: Path) -> None:
    shards = write_gguf_shards(tmp_path, "big", 2)
    metadata = {"split.no": Typed(build.U16, 1), "split.count": Typed(build.U16, 2)}
    tensors = [build.Tensor(f"other.{number}", (2,)) for number in range(2)]
    shards[1].write_bytes(bytes(gguf(metadata, tensors).content))
    with pytest.raises(UnsupportedModel, match="promises 2 tensors in all shards, and they hold 3"):
        detect(shards[0])


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    shards = write_gguf_shards(tmp_path, "big", 2)
    metadata = {"split.no": Typed(build.U16, 1), "split.count": Typed(build.U16, 2)}
    shards[1].write_bytes(bytes(gguf(metadata, [build.Tensor("blk.0.weight", (2,))]).content))
    with pytest.raises(UnsupportedModel, match=r"repeats the tensor 'blk\.0\.weight'"):
        detect(shards[0])


def test_a_shard_whose_name_does_not_say_so_is_refused(tmp_path: Path) -> None:
    (first, _) = write_gguf_shards(tmp_path, "big", 2)
    renamed = first.rename(tmp_path / "renamed.gguf")
    with pytest.raises(UnsupportedModel, match="file 1 of 2 of a split model, and its name does not say"):
        detect(renamed)


def test_several_models_in_a_folder_are_asked_about(tmp_path: Path) -> None:
    write_files(tmp_path, {"a-Q4.gguf": llama_gguf(), "b-Q8.gguf": llama_gguf()})
    with pytest.raises(UnsupportedModel, match=r"2 GGUF models: a-Q4\.gguf, b-Q8\.gguf; name the file"):
        detect(tmp_path)


def test_a_projector_beside_its_model_belongs_to_it(tmp_path: Path) -> None:
    projector = llama_gguf(general__architecture="clip", general__type="mmproj")
    write_files(tmp_path, {"model.gguf": llama_gguf(), "mmproj-model.gguf": projector})
    found = detect(tmp_path)
    assert found.weights == (tmp_path / "model.gguf",)
    assert found.projector == tmp_path / "mmproj-model.gguf"


def test_a_template_beside_the_model_wins_over_the_one_inside(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.gguf": llama_gguf(), "chat_template.jinja": "beside"})
    assert detect(tmp_path).chat_template == "beside"


def test_a_template_beside_the_model_may_have_any_name(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.gguf": llama_gguf(), "llama.jinja": "beside"})
    assert detect(tmp_path).chat_template == "beside"


def test_of_several_templates_the_one_by_the_usual_name_is_meant(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.gguf": llama_gguf(), "a.jinja": "a", "b.jinja": "b"})
    with pytest.raises(UnsupportedModel, match=r"several chat templates: a\.jinja, b\.jinja; call the one"):
        detect(tmp_path)
    write_files(tmp_path, {"chat_template.jinja": "c"})
    assert detect(tmp_path).chat_template == "c"


def test_a_template_beside_a_model_without_one_makes_it_chat(tmp_path: Path) -> None:
    content = llama_gguf(tokenizer__chat_template=None)
    write_files(tmp_path, {"model.gguf": content, "chat_template.jinja": "beside"})
    assert (detect(tmp_path).task, detect(tmp_path, task=Task.COMPLETION).task) == (Task.CHAT, Task.COMPLETION)


def test_a_file_named_alone_has_nothing_to_do_with_its_neighbours(tmp_path: Path) -> None:
    write_files(tmp_path, {"model.gguf": llama_gguf(), "other.gguf": llama_gguf(), "chat_template.jinja": "beside"})
    assert detect(tmp_path / "model.gguf").chat_template == CHAT_TEMPLATE


def test_shards_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_store.detect.gguf.MAX_TENSORS", 2)
    with pytest.raises(UnsupportedModel, match="hold more than 2 tensors"):
        detect(write_gguf_shards(tmp_path, "big", 3)[0])


def test_a_truncated_model_says_how_long_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"the data of the tensor .* end at byte .*, but the file has"):
        detect(write(tmp_path, llama_gguf()[:-3000]))
