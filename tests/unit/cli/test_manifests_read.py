"""Good manifests: lists, other kinds, files, folders, pipes, and several readings merged."""

import io
import os
import sys
from pathlib import Path

import pytest

from berth_api.errors import FieldError
from berth_cli.manifests.merge import merge_readings
from berth_cli.manifests.problem import InvalidManifests
from berth_cli.manifests.read import read_manifests
from berth_cli.manifests.source import Source, Text, open_sources, read_source


def model(name: str, *, uri: str = "oci://localhost/m") -> str:
    return (
        f"apiVersion: berth.dev/v1alpha1\nkind: Model\nmetadata: {{name: {name}}}\nspec: {{source: {{uri: '{uri}'}}}}\n"
    )


def names(*texts: str) -> list[str]:
    reading = read_manifests([Text(f"{number}.yaml", text) for number, text in enumerate(texts, 1)])
    return [manifest.object.key for manifest in reading.manifests]


def test_documents_and_files_are_read_in_order() -> None:
    assert names(model("b") + "---\n" + model("a"), model("c")) == ["default/b", "default/a", "default/c"]


def test_a_list_as_kubectl_prints_it_is_read() -> None:
    items = "".join(f"- {{apiVersion: berth.dev/v1alpha1, kind: Model, metadata: {{name: {name}}}, "
                    f"spec: {{source: {{uri: 'oci://localhost/m'}}}}}}\n" for name in "ab")  # fmt: skip
    assert names("apiVersion: v1\nkind: List\nitems:\n" + items) == ["default/a", "default/b"]


def test_objects_of_other_programs_are_left_out_with_a_note() -> None:
    reading = read_manifests(
        [Text("f.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n" + model("a"))]
    )
    assert len(reading.manifests) == 1
    assert reading.notes == ("f.yaml:1: Namespace (v1) is for a cluster; it is left out here",)


def test_what_this_machine_cannot_do_is_a_mistake_with_its_line() -> None:
    def check(_: object) -> tuple[FieldError, ...]:
        return (FieldError("spec.source.uri", "not here", "go elsewhere"),)

    with pytest.raises(InvalidManifests) as caught:
        read_manifests([Text("f.yaml", model("a"))], check=check)
    assert [str(problem) for problem in caught.value.problems] == [
        "f.yaml:4: spec.source.uri: not here\n    go elsewhere"
    ]


def test_a_folder_gives_its_manifests_and_not_those_of_its_folders(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    for name in ("b.yaml", "a.yml", "c.json", "notes.txt", "deeper/d.yaml"):
        (tmp_path / name).write_text(name)
    (source,) = open_sources([str(tmp_path)])
    assert [text.text for text in read_source(source)] == ["a.yml", "b.yaml", "c.json"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("x")
    (tmp_path / "link.yaml").symlink_to("a.yaml")
    assert len(open_sources([str(tmp_path / "a.yaml"), str(tmp_path / "link.yaml")])) == 1


def test_a_pipe_is_read_once_and_kept(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"piped")
    os.close(writer)
    try:
        (source,) = open_sources([f"/dev/fd/{reader}"])
    finally:
        os.close(reader)
    assert source.path is None
    assert [text.text for text in read_source(source)] == ["piped"]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfhello")))
    assert open_sources(["-"]) == (Source(name="stdin", text="hello"),)


def test_all_files_that_cannot_be_read_are_named_with_what_is_close(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text("x")
    arguments = [str(tmp_path / "quikstart.yaml"), "https://example.com/a.yaml", str(tmp_path / "no" / "a.yaml")]
    with pytest.raises(InvalidManifests) as caught:
        open_sources(arguments)
    shown = str(caught.value)
    assert f"did you mean {tmp_path / 'quickstart.yaml'}?" in shown
    assert "curl -O https://example.com/a.yaml" in shown
    assert f"there is no folder {tmp_path / 'no'} either" in shown


def test_a_file_that_is_no_text_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(InvalidManifests, match=r"a.yaml: is no UTF-8 text \(line 2\)"):
        read_source(open_sources([str(tmp_path / "a.yaml")])[0])


def test_a_file_of_weights_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "model.gguf").open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(InvalidManifests, match="name the manifest, not a file of weights"):
        read_source(open_sources([str(tmp_path / "model.gguf")])[0])


def test_what_was_applied_last_wins_and_says_so() -> None:
    first = read_manifests([Text("a.yaml", model("x") + "---\n" + model("y"))])
    second = read_manifests([Text("b.yaml", model("x", uri="oci://localhost/other"))])
    merged = merge_readings([first, second])
    assert [(one.object.key, one.where) for one in merged.manifests] == [
        ("default/x", "b.yaml:1"),
        ("default/y", "a.yaml:6"),
    ]
    assert merged.notes == ("Model default/x is written at a.yaml:1 too; b.yaml:1, applied later, is used",)
