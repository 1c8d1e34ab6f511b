"""The artifacts of the store as a table and as JSON, in the words and shape of Docker Model Runner. Pure."""

import json
from collections.abc import Sequence
from datetime import datetime

from berth_api.artifact import Artifact
from berth_cli.show.quantity import age_text, bytes_text, count_text
from berth_cli.show.table import render_table
from berth_store.local import StoredModel

HEADER = ("MODEL NAME", "PARAMETERS", "QUANTIZATION", "ARCHITECTURE", "MODEL ID", "CREATED", "CONTEXT", "SIZE")
_SHORT_ID_LENGTH = 12


def render_models(models: Sequence[StoredModel], now: datetime) -> str:
    """A row for each name, sorted without regard to case."""
    rows = [_row(model, now) for model in sorted(models, key=_sort_key)]
    return render_table(HEADER, rows)


def render_ids(models: Sequence[StoredModel]) -> str:
    """The short id of each artifact once, one a line."""
    ids = dict.fromkeys(short_id(model) for model in sorted(models, key=_sort_key))
    return "".join(f"{one}\n" for one in ids)


def render_json(models: Sequence[StoredModel]) -> str:
    """One object for each artifact, with all its names."""
    by_digest: dict[str, list[StoredModel]] = {}
    for model in sorted(models, key=_sort_key):
        by_digest.setdefault(model.digest, []).append(model)
    return json.dumps([_entry(names) for names in by_digest.values()], indent=2)


def short_id(model: StoredModel) -> str:
    """The first twelve hexadecimal digits of the digest, which the store's own name for it begins with."""
    return model.digest.partition(":")[2][:_SHORT_ID_LENGTH]


def _entry(names: Sequence[StoredModel]) -> dict[str, object]:
    model = names[0]
    tags = [str(one.reference) for one in names]
    return docker_entry(model.digest, tags, model.created, model.artifact, model.size_bytes)


def _sort_key(model: StoredModel) -> tuple[str, str]:
    return (model.reference.familiar.lower(), model.reference.familiar)


def _row(model: StoredModel, now: datetime) -> tuple[str, ...]:
    artifact = model.artifact
    return (
        model.reference.familiar,
        count_text(artifact.parameters) if artifact else "",
        (artifact.quantization or "") if artifact else "",
        (artifact.architecture or "") if artifact else "",
        short_id(model),
        age_text(model.created, now),
        str(artifact.context_length or "") if artifact else "",
        bytes_text(model.size_bytes),
    )


def docker_entry(
    digest: str | None,
    tags: Sequence[str],
    created: datetime | None,
    artifact: Artifact | None,
    size_bytes: int,
) -> dict[str, object]:
    """An artifact as `docker model list --json` and `docker model inspect` show one.

    `artifact` is what its config says. Of an artifact whose digest is not known yet, `id` is None.
    """
    config = {
        "format": artifact.format.value.lower() if artifact else None,
        "quantization": artifact.quantization if artifact else None,
        "parameters": count_text(artifact.parameters) if artifact else None,
        "architecture": artifact.architecture if artifact else None,
        "size": bytes_text(size_bytes),
        "context_size": artifact.context_length if artifact else None,
    }
    return {
        "id": digest,
        "tags": list(tags),
        "created": int(created.timestamp()) if created else None,
        "config": {name: value for name, value in config.items() if value},
    }
