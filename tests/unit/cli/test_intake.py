"""Manifests taken in, watched and read again: a bad edit takes nothing away."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from berth_cli.laptop.intake import Intake
from berth_cli.laptop.watch import observe_signature, watch_changes
from berth_cli.manifests.problem import InvalidManifests
from berth_cli.manifests.source import Source, open_sources

pytestmark = pytest.mark.timeout(30)


def model(name: str, **fields: object) -> str:
    lines = "".join(f"  {key}: {value}\n" for key, value in fields.items())
    return (
        f"apiVersion: berth.dev/v1alpha1\nkind: Model\nmetadata: {{name: {name}}}\n"
        f"spec:\n  source: {{uri: 'oci://localhost/m'}}\n{lines}"
    )


def keys(intake: Intake) -> list[str]:
    return [manifest.object.key for manifest in intake.reading.manifests]


@pytest.fixture
def intake() -> Intake:
    return Intake(lambda _: ())


def test_files_that_are_applied_later_are_added(intake: Intake, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(model(name))
        intake.apply(open_sources([str(tmp_path / f"{name}.yaml")]))
    assert keys(intake) == ["default/a", "default/b"]


def test_a_file_that_is_applied_again_is_read_anew(intake: Intake, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    for name in "ab":
        file.write_text(model(name))
        intake.apply(open_sources([str(file)]))
    assert keys(intake) == ["default/b"]
    assert len(intake.sources) == 1


def test_standard_input_adds_to_what_is_served(intake: Intake) -> None:
    intake.apply([Source(name="stdin", text=model("a"))])
    intake.apply([Source(name="stdin", text=model("b"))])
    assert keys(intake) == ["default/a", "default/b"]


def test_manifests_that_cannot_be_applied_change_nothing(intake: Intake, tmp_path: Path) -> None:
    intake.apply([Source(name="stdin", text=model("a"))])
    with pytest.raises(InvalidManifests):
        intake.apply([Source(name="stdin", text=model("b", contextLength="x"))])
    assert keys(intake) == ["default/a"]


def test_a_bad_edit_keeps_the_objects_of_its_file_and_takes_the_good_edit_of_another(
    intake: Intake, tmp_path: Path
) -> None:
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for file in files:
        file.write_text(model(file.stem))
        intake.apply(open_sources([str(file)]))
    files[0].write_text(model("a", contextLength="x"))
    files[1].write_text(model("b") + "---\n" + model("c"))
    problem = intake.reread()
    assert problem is not None
    assert f"{files[0]}:6: spec.contextLength" in str(problem)
    assert keys(intake) == ["default/a", "default/b", "default/c"]
    files[0].write_text(model("a2"))
    assert intake.reread() is None
    assert keys(intake) == ["default/a2", "default/b", "default/c"]


def test_a_file_that_vanished_keeps_its_objects(intake: Intake, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(model("a"))
    intake.apply(open_sources([str(file)]))
    file.unlink()
    assert "there is no such file" in str(intake.reread())
    assert keys(intake) == ["default/a"]


def test_a_file_that_leaves_its_folder_takes_its_objects_along(intake: Intake, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.yaml").write_text(model(name))
    intake.apply(open_sources([str(tmp_path)]))
    (tmp_path / "a.yaml").unlink()
    assert intake.reread() is None
    assert keys(intake) == ["default/b"]


def test_the_signature_sees_content_and_replacement(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("one")
    (source,) = open_sources([str(file)])
    seen = {observe_signature([source])}
    file.write_text("other")
    seen.add(observe_signature([source]))
    (tmp_path / "new").write_text("other")
    os.utime(tmp_path / "new", ns=(file.stat().st_mtime_ns, file.stat().st_mtime_ns))
    (tmp_path / "new").replace(file)
    seen.add(observe_signature([source]))
    file.unlink()
    seen.add(observe_signature([source]))
    assert len(seen) == 4


async def test_a_change_is_told_once_it_rests(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("one")
    sources = open_sources([str(file)])
    looks = 0

    def look() -> Sequence[Source]:
        nonlocal looks
        looks += 1
        return sources

    async def until_looked(times: int) -> None:
        while looks < times:
            await asyncio.sleep(0.01)

    changes = watch_changes(look, poll_seconds=0.02)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.wait_for(until_looked(5), 5)
    assert not waiting.done()
    file.write_text("other")
    await asyncio.wait_for(waiting, 5)
    file.unlink()
    file.write_text("other")
    await asyncio.wait_for(anext(changes), 5)


def test_a_pipe_is_not_watched() -> None:
    assert observe_signature([Source(name="stdin", text="x")]) == frozenset()
