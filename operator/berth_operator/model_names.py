"""What a Model is told of the names that it did not get.

A Model that loses its own bare name to an older claimant goes on to be accepted, with the reason NameConflict: it asked
for nothing, and clients reach it as `namespace/name`. Otherwise one team could make the Models of another not Ready by
taking their names. One that loses an alias, which it did ask for, is not accepted until the name is free or the alias
is dropped; it serves all the same.
"""

from collections.abc import Iterator

from berth_api.claims import Claims, NameConflict, Owner
from berth_api.conditions import Reason
from berth_api.errors import FieldError
from berth_api.model import Model


def name_complaints(model: Model, claims: Claims) -> tuple[FieldError, ...]:
    """The aliases that belong to others."""
    aliases = {alias: index for index, alias in enumerate(model.spec.aliases)}
    return tuple(
        FieldError(
            f"spec.aliases[{aliases[conflict.name]}]", conflict.message, "or remove this alias", Reason.NAME_CONFLICT
        )
        for conflict in _lost(model, claims)
        if conflict.name in aliases
    )


def name_note(model: Model, claims: Claims) -> str:
    """What is said of the Model's own bare name if it belongs to another; empty otherwise."""
    return next((conflict.message for conflict in _lost(model, claims) if conflict.name == model.metadata.name), "")


def _lost(model: Model, claims: Claims) -> Iterator[NameConflict]:
    owner = Owner(model.kind, model.metadata.namespace, model.metadata.name)
    return (conflict for conflict in claims.conflicts_of(owner) if not conflict.is_overridden)
