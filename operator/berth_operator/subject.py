"""What is reconciled: an object of one of our two kinds, named by its key. The queue and the caches speak of it."""

from enum import StrEnum
from typing import Final, NamedTuple

from berth_api.meta import GROUP, VERSION
from berth_kube.resources import Key, Object, Resource, key_of

MODELS: Final = Resource(GROUP, VERSION, "models", "Model")
MODEL_ROUTES: Final = Resource(GROUP, VERSION, "modelroutes", "ModelRoute")


class Kind(StrEnum):
    """The kinds that users write."""

    MODEL = "Model"
    ROUTE = "ModelRoute"

    @property
    def resource(self) -> Resource:
        """Where the API server keeps them."""
        return MODELS if self is Kind.MODEL else MODEL_ROUTES


class Subject(NamedTuple):
    """One object that is reconciled."""

    kind: Kind
    key: Key

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


def subject_of(kind: Kind, document: Object) -> Subject:
    """The subject that a document of this kind is."""
    return Subject(kind, key_of(document))
