"""What docs/install.md, docs/kubernetes.md and docs/sources.md show is taken by Berth as it is written there."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from chart import default_values, values_schema
from tools import REPOSITORY

from berth_api.manifest import parse_object
from berth_api.support import unsupported_fields

INSTALL, GUIDE, SOURCES = (REPOSITORY / f"docs/{page}.md" for page in ("install", "kubernetes", "sources"))
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `([a-zA-Z.]+)` \| `?([^|`]+)`? \| [a-z]", re.MULTILINE)
SET = re.compile(r"`(?:--set )?((?:crds|rbac|gateway|images|loader|global|monitoring|networkPolicies)\.[\w.]+)")


def blocks(page: Path) -> list[Any]:
    return [yaml.safe_load(text) for text in BLOCK.findall(page.read_text(encoding="utf-8"))]


def is_value(path: str) -> bool:
    part: Any = default_values()
    for name in path.split("."):
        if not isinstance(part, dict) or name not in part:
            return False
        part = part[name]
    return True


@pytest.mark.parametrize("values", blocks(INSTALL), ids=lambda values: next(iter(values)))
def test_the_values_shown_are_taken(values: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(values_schema()).validate(values)


@pytest.mark.parametrize("page", [INSTALL, GUIDE, SOURCES], ids=lambda page: page.stem)
def test_a_value_that_is_spoken_of_exists(page: Path) -> None:
    named = SET.findall(page.read_text(encoding="utf-8"))
    assert named
    assert [path for path in named if not is_value(path)] == []


@pytest.mark.parametrize(("path", "told"), ROW.findall(INSTALL.read_text(encoding="utf-8")))
def test_the_table_of_values_tells_their_defaults(path: str, told: str) -> None:
    value: Any = default_values()
    for name in path.split("."):
        value = value[name]
    if not value:
        assert told in {"all", "none", "nobody"}
    elif isinstance(value, list):
        assert (told, value) == ("all pods", [{"namespaceSelector": {}}])
    else:
        assert told == str(value)


@pytest.mark.parametrize(
    "manifest", [*blocks(GUIDE), *blocks(SOURCES)], ids=lambda manifest: manifest["metadata"]["name"]
)
def test_the_manifests_shown_can_be_carried_out(manifest: dict[str, Any]) -> None:
    assert unsupported_fields(parse_object(manifest)) == ()


@pytest.mark.parametrize("page", [INSTALL, GUIDE, SOURCES], ids=lambda page: page.stem)
def test_a_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
