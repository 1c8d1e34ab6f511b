"""Values: each is explained, each is known to the schema, and a wrong one is refused by its name."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from chart import CHART, default_values, values_at, values_schema
from tools import REPOSITORY

BAD = yaml.safe_load(Path(__file__).with_name("bad_values.yaml").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft7Validator(values_schema())
# Below these stands what Kubernetes defines, or what users name.
OPEN = ("resources", "gatewayFrom")


def keys_of(node: yaml.MappingNode, path: str = "") -> Iterator[tuple[str, int]]:
    """Every key with its line, from 0."""
    for key, value in node.value:
        name = f"{path}.{key.value}".lstrip(".")
        yield name, key.start_mark.line
        if isinstance(value, yaml.MappingNode) and key.value not in OPEN:
            yield from keys_of(value, name)


def values_keys() -> dict[str, int]:
    document = yaml.compose((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert isinstance(document, yaml.MappingNode)
    return dict(keys_of(document))


def schema_keys(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Every key that the schema names, but not what is below a definition."""
    for name, part in schema.get("properties", {}).items():
        whole = f"{path}.{name}".lstrip(".")
        yield whole
        if name not in OPEN:
            yield from schema_keys(part, whole)


def objects_of(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every schema with named properties, definitions included."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects_of(part)
    if isinstance(schema, list):
        for part in schema:
            yield from objects_of(part)


def test_each_value_is_explained_by_a_comment_above_it() -> None:
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    unexplained = [name for name, line in values_keys().items() if not lines[line - 1].lstrip().startswith("#")]
    assert unexplained == []


def test_schema_and_values_name_the_same() -> None:
    assert set(schema_keys(values_schema())) == set(values_keys())


def test_the_schema_lets_no_unknown_name_through() -> None:
    assert all(part.get("additionalProperties") is False for part in objects_of(values_schema()))


def test_the_schema_is_one_and_takes_the_defaults() -> None:
    jsonschema.Draft7Validator.check_schema(values_schema())
    VALIDATOR.validate(default_values())


@pytest.mark.parametrize("path", BAD)
def test_a_wrong_value_is_refused_where_it_stands(path: str) -> None:
    errors = list(VALIDATOR.iter_errors(values_at(path, BAD[path])))
    assert any(names(error, path) for error in errors), [error.message for error in errors]


def names(error: jsonschema.ValidationError, path: str) -> bool:
    """Whether the error stands at the path or below it; or, of a name that is not known, whether it says the name."""
    place = ".".join(str(step) for step in error.absolute_path)
    parent, _, leaf = path.rpartition(".")
    return f"{place}.".startswith(f"{path}.") or (place == parent and f"'{leaf}'" in error.message)


def test_the_examples_in_the_comments_are_taken() -> None:
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    begin = lines.index("# profiles:")
    example = yaml.safe_load("\n".join(line.removeprefix("# ") for line in lines[begin : lines.index("profiles: {}")]))
    assert set(example["profiles"]) == {"nvidia-l4", "amd-mi300x"}
    VALIDATOR.validate(example)


def test_the_chart_is_of_the_version_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert metadata["version"] == metadata["appVersion"] == project
