"""Texts and token ids become sequences, or an error that names the input."""

from pathlib import Path

import pytest
import tokenizers
from tiny_classifiers import write_pair_tokenizer
from tiny_encoders import VOCABULARY, write_tiny_tokenizer
from tokenizers import models

from berth_runtime.engines import text_tokens
from berth_runtime.engines.protocol import LoadFailed
from berth_runtime.engines.text_tokens import InputRefused, Pair, TextLimits, TextTokenizer, load_tokenizer

CLS, SEP, UNKNOWN = 5, 3, 1


def load(tmp_path: Path, *, max_tokens: int = 8, truncate: bool = False, prompt: str = "") -> TextTokenizer:
    limits = TextLimits(max_tokens=max_tokens, truncate=truncate)
    return load_tokenizer(write_tiny_tokenizer(tmp_path), limits, prompt=prompt)


def load_pairs(tmp_path: Path, *, max_tokens: int = 16) -> TextTokenizer:
    write_pair_tokenizer(tmp_path, "bert")
    return load_tokenizer(tmp_path / "tokenizer.json", TextLimits(max_tokens=max_tokens, truncate=True))


def test_padding_and_truncation_of_the_artifact_are_not_taken_over(tmp_path: Path) -> None:
    ids = load(tmp_path).encode(["w7", "w7 w8 w9 w10 w11 w12"])
    assert [each.ids.tolist() for each in ids] == [[CLS, 7, SEP], [CLS, 7, 8, 9, 10, 11, 12, SEP]]


def test_an_empty_text_is_its_marks(tmp_path: Path) -> None:
    assert load(tmp_path).encode([""])[0].ids.tolist() == [CLS, SEP]


def test_a_text_that_is_too_long_is_refused_with_its_index_and_its_length(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"^input\[4\] has 9 tokens, but this model takes 8") as refused:
        load(tmp_path).encode(["w7", "w7 " * 7], first=3)
    failure = refused.value.failure()
    assert (failure.status, failure.code, failure.param) == (400, "context_length_exceeded", "input")


def test_a_text_that_is_too_long_is_cut_where_truncation_was_asked_for(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, truncate=True)
    assert tokenizer.encode(["w7 " * 7])[0].ids.tolist() == [CLS, *[7] * 6, SEP]
    assert tokenizer.encode([(7,) * 9])[0].ids.tolist() == [7] * 8


def test_a_text_of_megabytes_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"input\[0\] has 1,000,000 characters"):
        load(tmp_path).encode([" " * 1_000_000])


def test_half_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"input\[1\] .* at character 2"):
        load(tmp_path).encode(["w7", "ab\ud800"])


def test_a_query_is_cut_once_where_each_of_its_pairs_would_be_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_pairs(tmp_path, max_tokens=9)
    query, documents = "w7 " * 5000, ["w8", "w9 w10 w11 w12 w13"]
    found = tokenizer.encode([Pair(query, document) for document in documents])
    assert [each.ids.tolist() for each in found] == [
        [CLS, 7, 7, 7, 7, 7, SEP, 8, SEP],
        [CLS, 7, 7, 7, SEP, 9, 10, 11, SEP],
    ]
    monkeypatch.setattr(text_tokens, "QUERY_SURPLUS", 1 << 20)
    whole = load_pairs(tmp_path, max_tokens=9).encode([Pair(query, document) for document in documents])
    assert [each.ids.tolist() for each in whole] == [each.ids.tolist() for each in found]


def test_the_second_text_of_a_pair_is_told_apart(tmp_path: Path) -> None:
    found = load_pairs(tmp_path).encode([Pair("w7 w8", "w9"), Pair("w7 w8", "")])
    assert [None if each.types is None else each.types.tolist() for each in found] == [
        [0, 0, 0, 0, 1, 1],
        [0, 0, 0, 0, 1],
    ]


def test_a_vocabulary_without_a_mark_for_the_unknown_names_the_text_that_it_can_not_read(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="b")).to_str())
    tokenizer = load_tokenizer(tmp_path / "words.json", TextLimits(max_tokens=8, truncate=True))
    with pytest.raises(InputRefused, match=r"^documents\[3\] can't be tokenised") as refused:
        tokenizer.encode([Pair("a", "a"), Pair("a", "c")], first=2)
    assert refused.value.failure().param == "documents"
    with pytest.raises(InputRefused, match=r"^query can't be tokenised"):
        tokenizer.encode([Pair("c" * 100, "a")])


def test_token_ids_are_taken_as_they_are(tmp_path: Path) -> None:
    assert [tokens.ids.tolist() for tokens in load(tmp_path).encode([(0, 39), (CLS,)])] == [[0, 39], [CLS]]


@pytest.mark.parametrize("token", [-1, VOCABULARY, 1 << 40])
def test_a_token_id_outside_the_vocabulary_is_refused_with_its_place(tmp_path: Path, token: int) -> None:
    with pytest.raises(InputRefused, match=rf"^input\[1\] has token id {token} at position 2; .* 0 to 39"):
        load(tmp_path).encode([(7,), (7, 7, token)])


def test_the_prompt_stands_before_texts_and_is_counted(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, prompt="w8 w9 ")
    assert tokenizer.encode(["w7"])[0].ids.tolist() == [CLS, 8, 9, 7, SEP]
    assert tokenizer.encode([(7,)])[0].ids.tolist() == [7]
    assert tokenizer.prompt_tokens() == 3
    assert load(tmp_path).prompt_tokens() == 0


def test_a_vocabulary_without_an_unknown_token_refuses_only_the_text_that_needs_it() -> None:
    tokenizer = TextTokenizer(tokenizers.Tokenizer(models.WordLevel({"a": 0})), TextLimits(max_tokens=8))
    with pytest.raises(InputRefused, match=r"^input\[1\] can't be tokenised"):
        tokenizer.encode(["a", "b", "a"])


def test_a_damaged_tokenizer_is_a_sentence(tmp_path: Path) -> None:
    path = write_tiny_tokenizer(tmp_path)
    path.write_text(path.read_text()[:100])
    with pytest.raises(LoadFailed, match=r"^tokenizer\.json can't be read: .*; export"):
        load_tokenizer(path, TextLimits(max_tokens=8))
