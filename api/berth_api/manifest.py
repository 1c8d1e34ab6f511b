"""From a parsed YAML or JSON document to a Model or ModelRoute, or to a list of everything that is wrong with it.

Called by the CLI for files, by the operator and the gateway's agent for objects of the API server. It refuses what the
API server would refuse, by the same rules, and never fails in another way than InvalidSpec.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from berth_api.arguments import refused_arguments, refused_variables
from berth_api.document import check_document, drop_nulls
from berth_api.errors import FieldError, InvalidSpec
from berth_api.field_errors import field_errors
from berth_api.field_path import shorten
from berth_api.meta import API_VERSION
from berth_api.model import Model
from berth_api.route import ModelRoute
from berth_api.schema import KINDS, kind_schema
from berth_api.suggestions import did_you_mean


def parse_object(raw: Mapping[str, Any]) -> Model | ModelRoute:
    """The object that a document describes. Raises InvalidSpec with every field that is wrong."""
    document = check_document(raw)
    kind = _check_envelope(document)
    given, errors = drop_nulls(document, kind_schema(kind))
    try:
        parsed = KINDS[kind].model_validate_json(json.dumps(given), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidSpec(*errors, *field_errors(error, kind_schema(kind))) from None
    assert isinstance(parsed, Model | ModelRoute)
    if isinstance(parsed, Model):
        errors += refused_arguments(parsed.spec.engine.args)
        errors += refused_variables([variable.name for variable in parsed.spec.pod.env])
    if errors:
        raise InvalidSpec(*errors)
    return parsed


def to_manifest(parsed: Model | ModelRoute) -> dict[str, Any]:
    """The document again, without what is left at its default. Its status is left out: that is not the user's."""
    envelope = {"apiVersion": API_VERSION, "kind": parsed.kind}
    content: dict[str, Any] = parsed.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude_none=True, exclude={"status", "api_version", "kind"}
    )
    return envelope | content


def _check_envelope(document: Mapping[str, Any]) -> str:
    errors = []
    version, kind = document.get("apiVersion"), document.get("kind")
    if version != API_VERSION:
        errors.append(_wrong_word("apiVersion", version, (API_VERSION,)))
    if not isinstance(kind, str) or kind not in KINDS:
        errors.append(_wrong_word("kind", kind, tuple(KINDS)))
    if errors:
        raise InvalidSpec(*errors)
    return str(kind)


def _wrong_word(path: str, found: object, allowed: tuple[str, ...]) -> FieldError:
    if found is None:
        return FieldError(path, "this field is missing", f"write `{path}: {allowed[0]}`")
    if not isinstance(found, str):
        return FieldError(path, "not a text", f"write one of {', '.join(allowed)}")
    remedy = did_you_mean(found, allowed) or f"write one of {', '.join(allowed)}"
    return FieldError(path, f"`{shorten(found)}` is not one of Berth's", remedy)
