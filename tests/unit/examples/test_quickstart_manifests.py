"""The manifests of the quick start are ones that this version carries out, with the artifacts that `prepare` makes."""

from pathlib import Path

import yaml
from examples.quickstart.prepare import MODELS

from berth_api.manifest import parse_object
from berth_api.model import Model
from berth_api.route import ModelRoute
from berth_api.support import laptop_notes, unsupported_fields
from berth_store.reference import Reference

QUICKSTART = Path(__file__).parents[3] / "examples/quickstart.yaml"


def objects() -> list[Model | ModelRoute]:
    return [parse_object(document) for document in yaml.safe_load_all(QUICKSTART.read_text())]


def models() -> dict[str, Model]:
    return {found.metadata.name: found for found in objects() if isinstance(found, Model)}


def test_every_field_is_carried_out_on_a_laptop() -> None:
    for found in objects():
        assert unsupported_fields(found, laptop=True) == ()
        assert laptop_notes(found) == ()


def test_each_model_is_one_that_prepare_packages() -> None:
    wanted = {Reference.parse(model.spec.source.uri) for model in models().values()}
    assert wanted == {model.reference for model in MODELS}


def test_nothing_has_to_be_fetched() -> None:
    assert all(Reference.parse(model.spec.source.uri).is_local for model in models().values())


def test_the_route_leads_to_a_model_of_the_file() -> None:
    routes = [found for found in objects() if isinstance(found, ModelRoute)]
    backends = [backend for route in routes for rule in route.spec.rules for backend in rule.backends]
    assert backends
    assert {backend.backend_ref.name for backend in backends} <= models().keys()
