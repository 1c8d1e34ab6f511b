"""One artifact as JSON: Docker Model Runner's four fields first, then what Berth knows besides. Pure.

`id`, `tags`, `created` and `config` are those of `docker model inspect` and of `berth list --json`, so that scripts for
the one read the other; `config` says what the artifact's config says. All else has Berth's names, those of a Model's
status where it has them; the facts of the files themselves stand in `artifact`.
"""

import json

from berth_cli.show.models import docker_entry
from berth_store.inspection.description import Description

_DOCKERS = {"digest", "tags", "created", "stated"}


def render_description(description: Description) -> str:
    """The artifact with all that is known of it; what is not known is left out, but for Docker's own fields."""
    dockers = docker_entry(
        description.digest, description.tags, description.created, description.stated, description.size_bytes
    )
    ours = description.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=_DOCKERS)
    return json.dumps({**dockers, **ours}, indent=2)


def render_openai(description: Description) -> str:
    """The artifact as an entry of `/v1/models`, under the first of its names; `created` is 0 where nobody says it."""
    created = int(description.created.timestamp()) if description.created else 0
    name = next(iter(description.tags), description.digest)
    return json.dumps({"id": name, "object": "model", "created": created, "owned_by": "berth"}, indent=2)
