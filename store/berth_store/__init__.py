"""Artifacts: references, registries, the content-addressed local store, header readers and packaging."""
