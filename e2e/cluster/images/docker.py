"""The same images built by Docker, on the official Python image, for clusters that kind makes."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.cluster.images.table import Image, build_table, fingerprint

BASE_IMAGE = "python:3.13-slim-bookworm"


def build_with_docker(names: Sequence[str]) -> Mapping[str, str]:
    """Build the images called `names` (all if none); their references, by name."""
    references = {}
    for image in build_table():
        if not names or image.name in names:
            references[image.name] = f"localhost/berth/{image.name}:{fingerprint(image, BASE_IMAGE)}"
            _build(image, references[image.name])
    return references


def _build(image: Image, reference: str) -> None:
    arguments = {"BASE_IMAGE": BASE_IMAGE, **image.arguments}
    words = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    words += [f"--target={image.target}"] if image.target else []
    words += [f"--file={image.dockerfile}", f"--tag={reference}"]
    if isinstance(image.context, Path):
        subprocess.run(["docker", "build", *words, str(image.context)], check=True)
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in image.context.items():
            shutil.copy2(path, Path(scratch) / name)
        subprocess.run(["docker", "build", *words, scratch], check=True)
