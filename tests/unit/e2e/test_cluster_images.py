"""An image is built again exactly when something that it is made of has changed."""

import json
from pathlib import Path

import pytest
from e2e.cluster.images.base import Surroundings, build_dockerfile
from e2e.cluster.images.table import Image, build_table, chosen, context_files, fingerprint, parse_included


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . .\n")
    (tmp_path / ".dockerignore").write_text("# why\n*\n!code\n!LICENSE\n**/__pycache__\n")
    (tmp_path / "code/__pycache__").mkdir(parents=True)
    (tmp_path / "code/one.py").write_text("one = 1")
    (tmp_path / "LICENSE").write_text("yes")
    return Image("one", tmp_path / "Dockerfile", tmp_path, target="final", arguments={"VERSION": "1"})


def test_what_the_builder_does_not_see_changes_no_tag(image: Image, tmp_path: Path) -> None:
    before = fingerprint(image, "base")
    (tmp_path / "notes.md").write_text("not in the context")
    (tmp_path / "code/__pycache__/one.pyc").write_text("compiled")
    assert fingerprint(image, "base") == before


@pytest.mark.parametrize("changed", ["Dockerfile", "code/one.py", "code/two.py", "LICENSE"])
def test_what_the_builder_sees_changes_the_tag(image: Image, tmp_path: Path, changed: str) -> None:
    before = fingerprint(image, "base")
    (tmp_path / changed).write_text("changed")
    assert fingerprint(image, "base") != before


def test_base_target_and_arguments_change_the_tag(image: Image) -> None:
    other = Image(image.name, image.dockerfile, image.context, target="other", arguments=image.arguments)
    newer = Image(image.name, image.dockerfile, image.context, target=image.target, arguments={"VERSION": "2"})
    tags = {fingerprint(image, "base"), fingerprint(image, "newer base"), fingerprint(other, "base")}
    assert len({*tags, fingerprint(newer, "base")}) == 4


def test_files_of_a_context_are_named_as_the_dockerfile_copies_them(image: Image, tmp_path: Path) -> None:
    assert [name for name, _ in context_files(image.context)] == ["LICENSE", "code/one.py"]
    assert list(context_files({"envoy": tmp_path / "envoy"})) == [("envoy", tmp_path / "envoy")]


def test_a_dockerignore_that_lets_everything_through_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no line `\*`"):
        parse_included(["!code"])


def test_the_projects_own_dockerignore_is_understood() -> None:
    operator = next(image for image in build_table() if image.name == "operator")
    names = {name for name, _ in context_files(operator.context)}
    assert {"pyproject.toml", "uv.lock", "operator/berth_operator/plan.py"} <= names
    assert not any(name.startswith(("tests/", ".venv/", "e2e/")) for name in names)


def test_a_machine_with_nothing_special_gives_the_base_nothing() -> None:
    dockerfile = build_dockerfile(Surroundings.from_environment({}))
    assert dockerfile == 'FROM scratch\nADD rootfs.tar /\nCMD ["python3"]\n'


def test_certificates_index_and_wheels_are_carried_into_the_base(tmp_path: Path) -> None:
    bundle, wheels = tmp_path / "bundle.crt", tmp_path / "wheels"
    bundle.write_text("a certificate")
    wheels.mkdir()
    environment = {"SSL_CERT_FILE": str(bundle), "PIP_FIND_LINKS": str(wheels), "PIP_INDEX_URL": "https://index.test/"}
    empty = Surroundings.from_environment(environment)
    assert empty.wheels is None
    (wheels / "one-1-py3-none-any.whl").write_text("a wheel")
    surroundings = Surroundings.from_environment(environment)
    dockerfile = build_dockerfile(surroundings)
    assert "COPY bundle /etc/ssl/certs/ca-certificates.crt" in dockerfile
    assert 'ENV PIP_CERT="/etc/ssl/certs/ca-certificates.crt"' in dockerfile
    assert 'ENV PIP_FIND_LINKS="/opt/wheels"' in dockerfile
    assert f"ENV PIP_INDEX_URL={json.dumps('https://index.test/')}" in dockerfile
    assert surroundings.fingerprint != empty.fingerprint


def test_another_bundle_of_certificates_makes_another_base(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_text("a certificate")
    surroundings = Surroundings(bundle=bundle)
    before = surroundings.fingerprint
    bundle.write_text("another certificate")
    assert surroundings.fingerprint != before


def test_an_image_is_of_what_it_stands_on(image: Image, tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text("one==1")
    below = Image("below", tmp_path / "Dockerfile", {"lock.txt": tmp_path / "lock.txt"})
    above = Image("above", image.dockerfile, image.context, on={"FIRST_IMAGE": below})
    before = fingerprint(above, "base")
    (tmp_path / "lock.txt").write_text("one==2")
    assert fingerprint(above, "base") != before


def test_what_takes_five_gigabytes_is_built_only_where_it_is_named() -> None:
    assert "vllm" not in {image.name for image in chosen(())}
    assert [image.name for image in chosen(["vllm", "envoy"])] == ["envoy", "vllm"]
