"""Artifacts in a real registry: `await push_files(registry, "team/model:1", files)`."""

from pathlib import Path

from oci_artifacts import MadeArtifact, make_artifact
from registry import RunningRegistry

from berth_store.local import Store
from berth_store.push import push
from berth_store.registries import RegistryConfig


async def push_artifact(
    running: RunningRegistry, name: str, artifact: MadeArtifact, folder: Path, config: RegistryConfig | None = None
) -> str:
    """Put the artifact into the registry by way of a store in `folder`; the source as manifests write it."""
    reference, store = running.reference(name), Store(folder)
    with store.using():
        for blob in (*artifact.blobs.values(), artifact.manifest):
            store.write_blob(blob)
        store.tag(reference, artifact.digest)
    await push(store, reference, registries=config or RegistryConfig())
    return f"oci://{reference}"


async def push_files(running: RunningRegistry, name: str, files: dict[str, bytes], folder: Path) -> str:
    """The same for an artifact of these files."""
    return await push_artifact(running, name, make_artifact(files), folder)
