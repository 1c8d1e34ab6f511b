"""A model on a claim: what is there is told by its headers, and pods are held to the list of its files."""

import json
import os
import sys
from pathlib import Path

import pytest
from folder_builders import write_files
from gguf_builders import llama_gguf

from berth_api.artifact import Format, Task
from berth_api.claim_path import ClaimPath
from berth_api.errors import UnsupportedModel
from berth_store.errors import DigestMismatch, NoModelInSource, SourceNotFound, SourceUnauthorized
from berth_store.loader import on_claim as loader
from berth_store.on_claim import digest_on_claim, find_on_claim, list_on_claim
from berth_store.resolver import __main__ as resolver
from berth_store.resolver.on_claim import resolve_on_claim

FOLDER = ClaimPath("models", "team/m")
FILE = ClaimPath("models", "team/m/m.gguf")
HUB = ClaimPath("models", "hub/models--a--b/snapshots/c")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    write_files(tmp_path, {"team/m/m.gguf": llama_gguf(), "team/m/.lock": "x", "team/m/docs/README.md": "x"})
    return tmp_path


def names(volume: Path, place: ClaimPath) -> list[str]:
    return [file.path for file in list_on_claim(find_on_claim(volume, place), place)]


def digest(volume: Path, place: ClaimPath = FOLDER) -> str:
    return digest_on_claim(list_on_claim(find_on_claim(volume, place), place), place, None)


@pytest.mark.parametrize(("place", "weights"), [(FOLDER, "m.gguf"), (FILE, "")])
def test_a_folder_and_a_file_are_known_by_their_headers(volume: Path, place: ClaimPath, weights: str) -> None:
    found = resolve_on_claim(place, volume)
    assert (found.artifact.format, found.artifact.task, found.weights) == (Format.GGUF, Task.CHAT, weights)
    assert found.artifact.digest == digest(volume, place)
    readme = len("x") if place == FOLDER else 0
    assert found.artifact.size_bytes == len(llama_gguf()) + readme


def test_links_of_the_caches_of_hugging_face_are_followed_and_others_are_not(tmp_path: Path) -> None:
    write_files(tmp_path, {"hub/models--a--b/blobs/f00": llama_gguf(), "secret.gguf": llama_gguf()})
    folder = tmp_path / HUB.path
    folder.mkdir(parents=True)
    (folder / "m.gguf").symlink_to("../../blobs/f00")
    (folder / "other.gguf").symlink_to(tmp_path / "secret.gguf")
    assert names(tmp_path, HUB) == ["m.gguf"]
    assert resolve_on_claim(HUB, tmp_path).weights == "m.gguf"


def test_the_digest_changes_with_names_sizes_and_times_and_not_with_what_is_hidden(volume: Path) -> None:
    weights, before = volume / FILE.path, digest(volume)
    (volume / "team/m/.lock").write_text("y")
    (volume / "team/m" / os.fsdecode(b"\xff.json")).write_text("no text is its name")
    assert digest(volume) == before
    os.utime(weights, ns=(1, 1))
    touched = digest(volume)
    weights.rename(volume / "team/m/n.gguf")
    assert len({before, touched, digest(volume)}) == 3


def test_what_is_not_there_is_said_with_what_is(volume: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"nothing at team/n/x on the claim models; it has m\. Write the path"):
        find_on_claim(volume, ClaimPath("models", "team/n/x"))
    with pytest.raises(SourceNotFound, match="nothing at"):
        find_on_claim(volume, ClaimPath("models", "team/m/m.gguf/more"))


def test_a_folder_without_files_and_one_without_a_model_are_refused_by_the_sources_name(volume: Path) -> None:
    (volume / "empty").mkdir()
    with pytest.raises(NoModelInSource, match="pvc://models/empty: the folder has no files"):
        resolve_on_claim(ClaimPath("models", "empty"), volume)
    with pytest.raises(UnsupportedModel, match="pvc://models/team/m/docs") as refused:
        resolve_on_claim(ClaimPath("models", "team/m/docs"), volume)
    assert str(volume) not in str(refused.value)


def test_a_folder_of_too_many_files_is_refused(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_store.on_claim.MOST_FILES", 3)
    write_files(volume, {f"many/{index}.txt": "x" for index in range(4)})
    with pytest.raises(NoModelInSource, match="more than 3 files; name the model's own folder"):
        names(volume, ClaimPath("models", "many"))


def test_what_nobody_lets_the_pod_read_says_whom_to_let(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The superuser, as whom tests may run, is refused nothing.
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(volume / FOLDER.path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceUnauthorized, match=f"m can't be read: Permission denied; .* {os.getuid()}"):
        names(volume, FOLDER)


def test_another_digest_than_the_pinned_one_is_refused_with_the_one_that_is_there(volume: Path) -> None:
    pinned = digest(volume)
    assert resolve_on_claim(FOLDER, volume, pinned=pinned).artifact.digest == pinned
    os.utime(volume / FILE.path, ns=(1, 1))
    with pytest.raises(DigestMismatch, match=f"{digest(volume)}, not {pinned}: some were changed since"):
        resolve_on_claim(FOLDER, volume, pinned=pinned)


def test_the_two_programs_agree_and_tell_what_has_changed(
    volume: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = volume / "termination"
    log.touch()
    told = ["--source", FOLDER.uri, "--volume", str(volume), "--termination-log", str(log)]
    monkeypatch.setattr(sys, "argv", ["resolver", *told])
    assert resolver.main() == 0
    found = json.loads(log.read_text())
    assert (found["artifact"]["format"], found["weights"]) == ("GGUF", "m.gguf")
    still = ["loader", *told, "--digest", found["artifact"]["digest"]]
    monkeypatch.setattr(sys, "argv", still)
    assert loader.main() == 0
    assert "as it was found" in capsys.readouterr().out
    write_files(volume, {"team/m/new.json": "{}"})
    assert loader.main() == 1
    said = json.loads(log.read_text())
    assert said["reason"] == "DigestMismatch"
    assert said["message"].startswith("pvc://models/team/m: the files there have the digest sha256:")
