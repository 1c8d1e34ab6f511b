"""A name in a header leads to a regular file of the model's own folder, or nowhere."""

import os
from pathlib import Path

import pytest

from berth_api.errors import UnsupportedModel
from berth_store.headers.file import HeaderFile
from berth_store.headers.folder import is_own_file, resolve_inside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "store" / "views" / "abc"
    (root / "sub").mkdir(parents=True)
    (root / "w.bin").write_bytes(b"x")
    (root / "sub" / "w.bin").write_bytes(b"x")
    return root


@pytest.mark.parametrize("name", ["w.bin", "sub/w.bin", "./w.bin"])
def test_a_file_of_the_folder_is_found(folder: Path, name: str) -> None:
    assert resolve_inside(folder, name, "x").samefile(folder / name)


@pytest.mark.parametrize("name", ["", "/etc/hostname", "../abc/w.bin", "sub/../w.bin", "a\\b", "C:x", "\0", "w" * 5000])
def test_a_name_that_leads_out_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(UnsupportedModel, match="the index names "):
        resolve_inside(folder, name, "the index")


def test_a_link_into_the_store_that_holds_the_folder_is_the_folders_own(folder: Path) -> None:
    blob = folder.parent.parent / "blobs" / "sha256" / "0123"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"x")
    (folder / "linked.bin").symlink_to("../../blobs/sha256/0123")
    assert is_own_file(folder, folder / "linked.bin")


def test_a_link_to_another_place_of_the_folder_is_the_folders_own(folder: Path) -> None:
    (folder / "linked.bin").symlink_to("sub/w.bin")
    assert is_own_file(folder, folder / "linked.bin")


@pytest.mark.parametrize("target", ["/etc/hostname", "../../../secret", "/dev/zero", "missing", "linked.bin", "sub"])
def test_a_link_to_anywhere_else_is_not(folder: Path, target: str) -> None:
    (folder.parent.parent.parent / "secret").write_bytes(b"x")
    (folder / "linked.bin").symlink_to(target)
    assert not is_own_file(folder, folder / "linked.bin")


def test_a_folder_that_is_a_link_itself_holds_its_own_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(folder)
    assert is_own_file(tmp_path / "alias", tmp_path / "alias" / "w.bin")


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsupportedModel, match="regular files only"):
        HeaderFile(tmp_path / "pipe")


def test_a_name_that_becomes_a_fifo_after_the_look_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.bin").write_bytes(b"x")
    seen = os.stat(tmp_path / "w.bin")
    (tmp_path / "w.bin").unlink()
    os.mkfifo(tmp_path / "w.bin")
    with monkeypatch.context() as patch:
        patch.setattr("berth_store.headers.file.os.stat", lambda path: seen)
        with pytest.raises(UnsupportedModel, match="regular files only"):
            HeaderFile(tmp_path / "w.bin")


@pytest.mark.parametrize("name", ["missing", "", "x" * 300])
def test_a_file_that_cannot_be_opened_is_refused_in_words(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsupportedModel):
        HeaderFile(tmp_path / name)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(b"x" * 100)
    with HeaderFile(path, window_bytes=16) as file:
        file.take(16, "the start")
        os.truncate(path, 20)
        with pytest.raises(UnsupportedModel, match="became shorter"):
            file.take(16, "the rest")


def test_reading_is_bounded_altogether(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(b"x" * 100)
    with HeaderFile(path, limit_bytes=40, window_bytes=16) as file:
        file.skip(16, "a part")
        file.take(32, "a part")
        with pytest.raises(UnsupportedModel, match="longer than 40 bytes"):
            file.take(16, "the rest")


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    for name in ("w.bin", "pipe", "missing"):
        try:
            with HeaderFile(tmp_path / name):
                pass
        except UnsupportedModel:
            pass
    assert len(os.listdir("/proc/self/fd")) == before
