"""The last word of a loader or resolver fits into what Kubernetes keeps of it, and is whole."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_api.errors import BerthError, FieldError, InvalidSpec, Unavailable, UnsupportedModel
from berth_store.errors import DigestMismatch, DiskFull, NoModelInSource, SourceNotFound, SourceUnreachable
from berth_store.termination import MAX_BYTES, reason_of, render_failure, render_success, write_termination


@given(st.text(max_size=200).map(lambda text: text * 100))
def test_a_message_of_any_length_in_any_letters_fits(message: str) -> None:
    content = render_failure("SourceUnreachable", message)
    assert len(content) <= MAX_BYTES
    said = json.loads(content)
    assert said["reason"] == "SourceUnreachable"
    assert said["message"] == message or said["message"].endswith("…")


def test_a_short_message_is_kept_as_it_is() -> None:
    assert json.loads(render_failure("DiskFull", "größer")) == {"reason": "DiskFull", "message": "größer"}


def test_a_long_message_is_cut_no_more_than_it_must_be() -> None:
    assert len(render_failure("DiskFull", "x" * 10_000)) > MAX_BYTES - 16


def test_notes_that_do_not_fit_are_left_out() -> None:
    said = json.loads(render_success({"weights": "model.gguf"}, ["first", "x" * 5000]))
    assert said == {"weights": "model.gguf", "notes": ["first"]}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SourceNotFound("x"), "SourceNotFound"),
        (SourceUnreachable("x"), "SourceUnreachable"),
        (DigestMismatch("x"), "DigestMismatch"),
        (DiskFull("x"), "DiskFull"),
        (NoModelInSource("x"), "NoModelInSource"),
        (UnsupportedModel("x"), "NoModelInSource"),
        (InvalidSpec(FieldError("a", "b", "c")), "InvalidSpec"),
        (Unavailable("x"), "StoreUnusable"),
        (PermissionError(13, "Permission denied"), "StoreUnusable"),
    ],
)
def test_every_error_has_the_reason_of_a_condition(error: BerthError | OSError, reason: str) -> None:
    assert reason_of(error) == reason


def test_where_nobody_looks_nothing_is_written(tmp_path: Path) -> None:
    write_termination(tmp_path / "none" / "log", b"{}")
    write_termination(tmp_path, b"{}")
    assert list(tmp_path.iterdir()) == []


def test_the_kubelets_file_is_written_in_place(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.write_text("before, and longer")
    inode = log.stat().st_ino
    write_termination(log, b"{}")
    assert (log.read_bytes(), log.stat().st_ino) == (b"{}", inode)
