"""The CRDs: structural, bounded, described, and never other than the types."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from manifest_tables import GOOD

from berth_api.crd import RESOURCES, build_crd, build_crds
from berth_api.schema import KINDS, kind_schema

ROOT = Path(__file__).parents[3]

# What a structural schema may say at a node: k8s.io/apiextensions-apiserver, pkg/apis/apiextensions/validation.
ALLOWED = {
    *("type", "description", "format", "default", "enum", "properties", "required", "items", "additionalProperties"),
    *("minimum", "maximum", "maxLength", "minLength", "maxItems", "minItems", "maxProperties"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations"),
    "x-kubernetes-int-or-string",
}
Node = tuple[str, dict[str, Any]]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[Node]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


def version_of(kind: str) -> dict[str, Any]:
    (resource,) = (resource for resource in RESOURCES if resource.kind == kind)
    version: dict[str, Any] = build_crd(resource)["spec"]["versions"][0]
    return version


def schema_of(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = version_of(kind)["schema"]["openAPIV3Schema"]
    return schema


NODES = [node for kind in KINDS for node in nodes(schema_of(kind), kind)]


def test_a_node_says_nothing_that_a_structural_schema_may_not_say() -> None:
    for path, schema in NODES:
        assert set(schema) <= ALLOWED, path


def test_a_node_may_not_be_of_any_form_or_nested_without_end() -> None:
    """Readers of all objects, ours and others', have a depth at which they fail."""
    assert not [path for path, schema in NODES if "x-kubernetes-preserve-unknown-fields" in schema]
    assert max(path.count(".") + path.count("[]") for path, _ in NODES) < 32


def test_a_node_has_one_type_or_is_a_quantity() -> None:
    for path, schema in NODES:
        is_quantity = schema.get("x-kubernetes-int-or-string", False)
        assert is_quantity != (schema.get("type") in ("object", "array", "string", "integer", "boolean")), path


def test_a_node_is_bounded() -> None:
    for path, schema in NODES:
        assert is_bounded(path, schema), path


def is_bounded(path: str, schema: dict[str, Any]) -> bool:
    match schema.get("type"):
        case "string":
            return "maxLength" in schema or "enum" in schema or schema.get("format") == "date-time"
        case "array":
            return schema["maxItems"] <= 256 and schema["x-kubernetes-list-type"] in ("atomic", "set", "map")
        case "integer":
            return schema["format"] == "int64" and "minimum" in schema
        case "object" if "properties" not in schema:
            return schema["maxProperties"] <= 64 and "additionalProperties" in schema
        case None:
            return bool(schema["maxLength"] == 32)
        case _:
            return True


def test_a_field_is_described() -> None:
    for path, schema in NODES:
        if not path.endswith("[]") and ".metadata" not in path:
            assert schema["description"].endswith("."), path


def test_keys_of_a_list_are_required_or_have_a_default() -> None:
    for path, schema in NODES:
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            part = schema["items"]["properties"][key]
            assert key in schema["items"]["required"] or "default" in part, path
            assert part["type"] in ("string", "integer", "boolean"), path


def test_a_default_is_a_scalar_of_the_spec() -> None:
    for path, schema in NODES:
        if "default" in schema:
            assert ".spec." in path
            assert isinstance(schema["default"], str | int | bool), path
            assert "enum" not in schema or schema["default"] in schema["enum"], path


def test_a_rule_says_what_would_be_right_about_a_field_that_exists() -> None:
    for path, schema in NODES:
        for rule in schema.get("x-kubernetes-validations", ()):
            assert "; " in rule["message"], path
            assert "\n" not in rule["message"] + rule["rule"], path
            part = schema
            for step in re.findall(r"\.(\w+)", rule.get("fieldPath", "")):
                part = part["properties"][step]


def test_a_rule_reads_no_field_that_is_not_there() -> None:
    for path, schema in NODES:
        for rule in schema.get("x-kubernetes-validations", ()):
            read = re.findall(r"self\.(\w+)(?![\w(])", rule["rule"])
            assert set(read) <= {"metadata", *schema.get("properties", {})}, path


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_takes_what_the_types_take(kind: str) -> None:
    validator = jsonschema.Draft4Validator(closed(schema_of(kind)["properties"]["spec"]))
    for entry in GOOD:
        if kind == "Model" and "model" in entry:
            spec = {"source": {"uri": "oci://r/m"}, **entry["model"]}
            validator.validate({name: value for name, value in spec.items() if value is not None})
        elif kind == "ModelRoute" and ("rule" in entry or "route" in entry):
            rule = {"backends": [{"backendRef": {"name": "qwen"}}], **entry.get("rule", {})}
            validator.validate({"names": ["chat"], "rules": [rule], **entry.get("route", {})})


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as the API server reads it: unknown fields refused, as strict validation does."""
    changed = dict(schema)
    if "properties" in schema:
        changed["properties"] = {name: closed(part) for name, part in schema["properties"].items()}
        changed["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if key in schema:
            changed[key] = closed(schema[key])
    return changed


def test_the_kinds_have_the_names_that_people_type() -> None:
    names = {crd["metadata"]["name"]: crd["spec"]["names"] for crd in build_crds().values()}
    assert set(names) == {"models.berth.dev", "modelroutes.berth.dev"}
    assert [names[name]["shortNames"] for name in sorted(names)] == [["bmr"], ["bm"]]
    assert all(each["categories"] == ["berth"] for each in names.values())


def test_there_are_no_webhooks() -> None:
    assert all(crd["spec"]["conversion"] == {"strategy": "None"} for crd in build_crds().values())


def test_a_model_scales_and_a_route_does_not() -> None:
    assert version_of("Model")["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }
    assert version_of("ModelRoute")["subresources"] == {"status": {}}
    # Without a stored value, reading the scale subresource of an object fails.
    assert schema_of("Model")["properties"]["spec"]["properties"]["replicas"]["default"] == 1


def test_the_columns_are_those_that_people_ask_for() -> None:
    def columns(kind: str, priority: int) -> list[str]:
        return [
            column["name"].upper()
            for column in version_of(kind)["additionalPrinterColumns"]
            if column.get("priority", 0) == priority
        ]

    assert columns("Model", 0) == ["READY", "REPLICAS", "ENGINE", "TASK", "SIZE", "STAGE", "AGE"]
    assert columns("Model", 1) == ["PROFILE", "DIGEST", "REASON"]
    assert columns("ModelRoute", 0) == ["NAMES", "READY", "BACKENDS", "AGE"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_shows_a_field_that_exists(kind: str) -> None:
    for column in version_of(kind)["additionalPrinterColumns"]:
        part = kind_schema(kind)
        for step in re.findall(r"\.(\w+)(?:\[[^]]*\])?", column["jsonPath"].replace("@.type", "")):
            part = part["properties"][step] if "properties" in part else part["items"]["properties"][step]
            if step == "metadata":
                break


def test_the_files_in_the_repository_are_what_the_types_say() -> None:
    done = generate("--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_file_is_named_with_the_command_that_writes_it(tmp_path: Path) -> None:
    assert generate("--root", str(tmp_path)).returncode == 0
    (tmp_path / "crds" / "berth.dev_models.yaml").write_text("old", encoding="utf-8")
    (tmp_path / "docs" / "reference" / "model.md").unlink()
    done = generate("--check", "--root", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "crds/berth.dev_models.yaml is not what the types and tables say; run `make crds`",
        "docs/reference/model.md is not what the types and tables say; run `make crds`",
    ]


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "crds" / "generate.py")
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_has_a_row_for_every_field(kind: str) -> None:
    page = (ROOT / "docs" / "reference" / f"{kind.lower()}.md").read_text(encoding="utf-8")
    rows = sum(line.startswith("| `") for line in page.splitlines())
    tops = kind_schema(kind)["properties"]
    fields = [
        name for top in ("spec", "status") for _, schema in nodes(tops[top]) for name in schema.get("properties", ())
    ]
    assert rows == len(fields)
    cells = {len(re.split(r"(?<!\\)\|", line)) for line in page.splitlines() if line.startswith("|")}
    assert cells == {6}
