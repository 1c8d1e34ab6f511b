"""Writes what is generated of the chart: its CRDs from the types, and deploy/ from the chart. `make chart` calls it.

With `--check` nothing is written, and Helm is not needed: the plain manifests carry a seal, a hash over the chart's
files and over themselves. So a chart that was edited without `make chart` is found, and a manifest edited by hand too.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from berth_api.crd import build_crds

ROOT = Path(__file__).resolve().parent.parent
CHART = Path("charts/berth")
CRDS = CHART / "templates/crds"
MANIFESTS = Path("deploy/berth.yaml")
NAMESPACE = "berth-system"

_CRD_HEADER = "{{/* Written by `make chart` from the types in api/berth_api; edit those. */}}\n"
_HEADER = (
    "# Written by `make chart` from charts/berth; edit that. docs/install.md tells how to use it.\n# Seal: {seal}\n"
)
# What only Helm reads, and what would change with every release.
_NOISE_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/instance")
_NOISE_ANNOTATIONS = ("helm.sh/resource-policy",)
# Namespaces and kinds before what lives in them.
_FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount")


class _Dumper(yaml.SafeDumper):
    """Writes every value out, and texts of several lines as blocks."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is yaml's
        return True


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _write_text)


def crd_templates() -> dict[Path, str]:
    """The CRDs as templates, by their path from the root of the repository."""
    return {CRDS / name: render_crd_template(crd) for name, crd in build_crds().items()}


def render_crd_template(crd: Mapping[str, Any]) -> str:
    """A CRD that the values may leave out, with the release's metadata. Braces of descriptions stay what they are."""
    head = {"apiVersion": crd["apiVersion"], "kind": crd["kind"], "metadata": {"name": crd["metadata"]["name"]}}
    body = _dump({"spec": crd["spec"]}).replace("{{", '{{ "{{" }}')
    metadata = '  {{- include "berth.crdMetadata" . | nindent 2 }}\n'
    return f"{_CRD_HEADER}{{{{- if .Values.crds.install }}}}\n{_dump(head)}{metadata}{body}{{{{- end }}}}\n"


def plain_manifests(rendered: str) -> str:
    """What `helm template` wrote, for `kubectl apply`: the namespace before it, and nothing that only Helm reads."""
    documents = [_namespace(), *(document for document in yaml.safe_load_all(rendered) if document)]
    return "---\n".join(_dump(_without_noise(document)) for document in sorted(documents, key=_rank))


def _namespace() -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def _rank(document: Mapping[str, Any]) -> int:
    return _FIRST.index(document["kind"]) if document["kind"] in _FIRST else len(_FIRST)


def _without_noise(document: dict[str, Any]) -> dict[str, Any]:
    metadata = document["metadata"]
    _drop(metadata, "labels", _NOISE_LABELS)
    _drop(metadata, "annotations", _NOISE_ANNOTATIONS)
    template = document.get("spec", {}).get("template")
    if template is not None:
        _drop(template["metadata"], "labels", _NOISE_LABELS)
    return document


def _drop(metadata: dict[str, Any], field: str, names: Iterable[str]) -> None:
    kept = {name: value for name, value in metadata.get(field, {}).items() if name not in names}
    if kept:
        metadata[field] = kept
    else:
        metadata.pop(field, None)


def sealed(body: str, chart: Path) -> str:
    """The manifests with their header, in which the seal stands."""
    return _HEADER.format(seal=seal(body, chart)) + body


def seal(body: str, chart: Path) -> str:
    """A SHA-256 over the names and bytes of the chart's files, and over the manifests that were made of them."""
    summary = hashlib.sha256()
    for path in sorted(path for path in chart.rglob("*") if path.is_file()):
        summary.update(f"{path.relative_to(chart).as_posix()}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    summary.update(body.encode())
    return summary.hexdigest()


def stale_files(root: Path) -> tuple[Path, ...]:
    """The generated files below `root` that are missing, or are not what they would be if they were written now."""
    stale = [path for path, text in crd_templates().items() if _read(root / path) != text]
    manifests = _read(root / MANIFESTS)
    body = manifests.split("\n", 2)[-1]
    return (*stale, *(() if manifests == sealed(body, root / CHART) else (MANIFESTS,)))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def find_helm(root: Path) -> str | None:
    """Helm as `make cluster-programs` puts it, else that of PATH."""
    ours = root / ".tools/kube/bin/helm"
    return str(ours) if ours.exists() else shutil.which("helm")


def render_chart(helm: str, chart: Path) -> str:
    """What the chart makes of its own values. Helm's words go to the terminal where it fails."""
    command = [helm, "template", "berth", str(chart), "--namespace", NAMESPACE]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def write_files(root: Path, helm: str) -> None:
    """Write the CRDs into the chart first: the manifests are made of the whole chart."""
    for path, text in crd_templates().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    body = plain_manifests(render_chart(helm, root / CHART))
    (root / MANIFESTS).parent.mkdir(parents=True, exist_ok=True)
    (root / MANIFESTS).write_text(sealed(body, root / CHART), encoding="utf-8")


def _dump(document: Mapping[str, Any]) -> str:
    text: str = yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text


def main(arguments: list[str] | None = None) -> int:
    """Write, or check; 1 means that a file is stale, or that Helm is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a file is stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    given = parser.parse_args(arguments)
    if given.check:
        stale = stale_files(given.root)
        for path in stale:
            sys.stderr.write(f"{path} is not what the chart and the types say; run `make chart`\n")
        return 1 if stale else 0
    helm = find_helm(given.root)
    if helm is None:
        sys.stderr.write("Helm was not found: run `make cluster-programs`, or install Helm 3.14 or newer\n")
        return 1
    write_files(given.root, helm)
    return 0


if __name__ == "__main__":
    sys.exit(main())
