"""Several readings to one set of objects: what was applied last wins, as with `kubectl apply`. Pure."""

from collections.abc import Sequence

from berth_cli.manifests.read import Manifest, Reading


def merge_readings(readings: Sequence[Reading]) -> Reading:
    """The objects of all readings in the order of application; the last of a kind and name counts."""
    merged: dict[tuple[str, str], Manifest] = {}
    notes = [note for reading in readings for note in reading.notes]
    for reading in readings:
        for manifest in reading.manifests:
            if (earlier := merged.get(manifest.key)) is not None:
                kind, key = manifest.key
                notes.append(
                    f"{kind} {key} is written at {earlier.where} too; {manifest.where}, applied later, is used"
                )
            merged[manifest.key] = manifest
    return Reading(tuple(merged.values()), tuple(notes))
