"""What is known of a Model's artifact, where it is kept, and how a resolver's report is read.

A resolution answers one question, named by the hash of its inputs. It is kept as JSON in an annotation of the
Deployment, and comes there from the termination message of a resolver Job's pod: a stranger's words, never trusted.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from pydantic import ValidationError

from berth_api.artifact import Artifact, EngineType, Task
from berth_api.conditions import ConditionType, Reason, find_condition
from berth_api.errors import FieldError, InvalidSpec
from berth_api.launch import trust_options
from berth_api.model import Model
from berth_api.model_spec import ModelSpec
from berth_api.model_status import ModelStatus
from berth_api.source import Source
from berth_operator.bounded_json import read_json_object
from berth_operator.children.metadata import hash_of
from berth_operator.extras import Extra, extras_of

MESSAGE_MAX: Final = 4096
_NOTES_MAX: Final = 8
_INPUTS_LENGTH: Final = 8
_LARGEST: Final = 1 << 60
"""An exbibyte: what is said to be larger is no artifact, and its figures would not fit into a status."""
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_DIGEST_IN_URI: Final = re.compile(r"@(sha256:[0-9a-f]{64})$")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SAFE_PATH: Final = re.compile(r"[^\0-\x1f\x7f]{1,512}")

_REFUSALS: Final = frozenset(
    {
        Reason.SOURCE_NOT_FOUND,
        Reason.SOURCE_UNAUTHORIZED,
        Reason.LICENSE_GATED,
        Reason.SOURCE_UNREACHABLE,
        Reason.DIGEST_MISMATCH,
        Reason.SIGNATURE_MISSING,
        Reason.SIGNATURE_INVALID,
        Reason.NO_MODEL_IN_SOURCE,
        Reason.DISK_FULL,
    }
)
_NOT_ACCEPTED: Final = frozenset(
    {Reason.INVALID_SPEC, Reason.UNSUPPORTED_FORMAT, Reason.PICKLE_REFUSED, Reason.ARGUMENT_REFUSED}
)


@dataclass(frozen=True)
class Resolution:
    """What a source holds. `weights` is the main file's path below the view, `revision` the commit at which it was
    found; both are empty where they are not known.
    """

    inputs: str
    artifact: Artifact
    weights: str = ""
    notes: tuple[str, ...] = ()
    revision: str = ""


@dataclass(frozen=True)
class Question:
    """What one source of a Model holds: its own, or that of an extra."""

    model: Model
    extra: Extra | None = None

    @property
    def source(self) -> Source:
        """The source."""
        return self.model.spec.source if self.extra is None else self.extra.source

    @property
    def path(self) -> str:
        """Where the source stands in the manifest."""
        return "spec.source" if self.extra is None else self.extra.path

    @cached_property
    def inputs(self) -> str:
        """The question's name: it changes with everything that may change the answer, and with nothing else."""
        return inputs_of(self.model.spec) if self.extra is None else _extra_inputs(self.extra)


@dataclass(frozen=True)
class Refusal:
    """Why it could not be found out."""

    reason: Reason
    message: str

    @property
    def is_of_the_spec(self) -> bool:
        """Whether the Model itself asks for what can't be, so that it is not accepted."""
        return self.reason in _NOT_ACCEPTED


def questions_of(model: Model) -> tuple[Question, ...]:
    """All questions of a Model, that of its own source first."""
    return (Question(model), *(Question(model, extra) for extra in extras_of(model.spec)))


def inputs_of(spec: ModelSpec) -> str:
    """The name of the question about the Model's own source."""
    # A Model without a template of its own, or trust, asks what it asked before there were any.
    own_template = ["own template"] if spec.chat_template else []
    more = [*own_template, *trust_options(spec.trust)]
    return _hash_of_question(spec.source, spec.task, spec.engine.type, spec.artifact.format, *more)


def _extra_inputs(extra: Extra) -> str:
    return _hash_of_question(extra.source, "extra", extra.key)


def _hash_of_question(source: Source, *more: str | None) -> str:
    secret = source.secret_ref.name if source.secret_ref else ""
    # One without patterns asks what it asked before there were any.
    files = [list(source.files)] if source.files else []
    signed = [source.signature.model_dump(mode="json")] if source.signature else []
    return hash_of([source.uri, source.digest, secret, *files, *more, *signed], _INPUTS_LENGTH)


def pinned_digest(source: Source, path: str = "spec.source") -> str | None:
    """The digest that a source pins, in its own field or at the end of the URI. Raises InvalidSpec if they differ."""
    found = _DIGEST_IN_URI.search(source.uri)
    in_uri = found[1] if found else None
    if source.digest is not None and in_uri is not None and source.digest != in_uri:
        message = f"it pins {source.digest}, and {path}.uri pins {in_uri}"
        raise InvalidSpec(FieldError(f"{path}.digest", message, "keep one of the two"))
    return source.digest or in_uri


def known_by_spec(spec: ModelSpec) -> Resolution | None:
    """The resolution of a Model that pins digest, format and task: nothing has to be looked up but who has signed."""
    digest = pinned_digest(spec.source)
    task = spec.artifact.task or (None if spec.task is Task.AUTO else spec.task)
    if digest is None or spec.artifact.format is None or task is None or spec.source.signature is not None:
        return None
    return Resolution(inputs_of(spec), Artifact(format=spec.artifact.format, task=task, digest=digest))


def artifact_of(model: Model, resolution: Resolution) -> Artifact:
    """The artifact with what the user knows better, which is `spec.artifact` and `spec.task`."""
    known = {name: value for name, value in model.spec.artifact if value is not None}
    if model.spec.task is not Task.AUTO:
        known["task"] = model.spec.task
    return resolution.artifact.model_copy(update=known)


def shown_resolution(spec: ModelSpec, status: ModelStatus, generation: int) -> Resolution | None:
    """The resolution that the status shows, for when somebody has deleted the Deployment that remembers it.

    It is that of the present spec only if `Resolved` is true of the present generation. Where an engine is named, the
    path of its file is needed too, and where a branch of Hugging Face is, its commit; no status has either.
    """
    resolved = find_condition(status.conditions, ConditionType.RESOLVED)
    is_current = resolved is not None and resolved.is_true and resolved.observed_generation == generation
    needs_more = spec.engine.type is not EngineType.AUTO or spec.source.uri.startswith("hf://")
    if not is_current or status.artifact is None or needs_more:
        return None
    artifact = Artifact.model_validate(status.artifact.model_dump())
    is_whole = artifact.digest is not None and _DIGEST.fullmatch(artifact.digest)
    return Resolution(inputs_of(spec), artifact) if is_whole else None


def render_resolution(resolution: Resolution) -> str:
    """The text of the annotation: the same for the same resolution."""
    return json.dumps(_content(resolution), sort_keys=True, ensure_ascii=False)


def render_extras(extras: Mapping[str, Resolution]) -> str:
    """The text of the annotation for extras, by their keys."""
    content = {key: _content(resolution) for key, resolution in extras.items()}
    return json.dumps(content, sort_keys=True, ensure_ascii=False)


def read_extras(annotation: str | None) -> dict[str, Resolution]:
    """The resolutions of extras in an annotation; without those that can't be read."""
    found = {}
    for key, content in read_json_object(annotation or "").items():
        inputs = content.get("inputs") if isinstance(content, dict) else None
        resolution = _resolution(content, inputs) if isinstance(inputs, str) else None
        if resolution is not None:
            found[key] = resolution
    return found


def _content(resolution: Resolution) -> dict[str, Any]:
    return {
        "inputs": resolution.inputs,
        "artifact": resolution.artifact.model_dump(mode="json", by_alias=True, exclude_none=True),
        "weights": resolution.weights,
        "notes": list(resolution.notes),
        **({"revision": resolution.revision} if resolution.revision else {}),
    }


def read_resolution(annotation: str | None) -> Resolution | None:
    """The resolution in an annotation; None where there is none that can be read."""
    content = read_json_object(annotation or "")
    inputs = content.get("inputs")
    return _resolution(content, inputs) if isinstance(inputs, str) else None


def read_report(message: str, inputs: str) -> Resolution | Refusal:
    """What a resolver wrote into its termination message. What can't be believed is a Refusal too."""
    content = read_json_object(message)
    resolution = _resolution(content, inputs)
    if resolution is not None:
        return resolution
    reason, said = content.get("reason"), content.get("message")
    if not isinstance(said, str) or not said.strip():
        said = f"the resolver ended without a report: {message.strip()[-512:] or 'it said nothing'}"
    known = reason if isinstance(reason, str) and reason in _REFUSALS | _NOT_ACCEPTED else Reason.SOURCE_UNREACHABLE
    return Refusal(Reason(known), said.strip()[:MESSAGE_MAX])


def _resolution(content: Mapping[str, Any], inputs: str) -> Resolution | None:
    try:
        artifact = Artifact.model_validate(content.get("artifact"), strict=False)
    except ValidationError:
        return None
    if artifact.digest is None or not _DIGEST.fullmatch(artifact.digest):
        return None
    if any(figure is not None and figure > _LARGEST for figure in _figures(artifact)):
        return None
    weights, notes = _safe_path(content.get("weights")), _notes(content.get("notes"))
    return Resolution(inputs, artifact, weights, notes, _commit(content.get("revision")))


def _figures(artifact: Artifact) -> tuple[int | None, ...]:
    return (artifact.size_bytes, artifact.parameters, artifact.context_length, artifact.kv_bytes_per_token)


def _safe_path(found: object) -> str:
    """A relative path that stays below where it starts; anything else is as good as unknown."""
    if not isinstance(found, str) or not _SAFE_PATH.fullmatch(found):
        return ""
    parts = found.split("/")
    return found if all(part not in ("", ".", "..") for part in parts) else ""


def _commit(found: object) -> str:
    return found if isinstance(found, str) and _COMMIT.fullmatch(found) else ""


def _notes(found: object) -> tuple[str, ...]:
    if not isinstance(found, list):
        return ()
    return tuple(note[:512] for note in found[:_NOTES_MAX] if isinstance(note, str))
