"""The same images built by Docker, on the official Python image, for clusters that kind makes."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.cluster.images.table import Image, chosen, fingerprint

BASE_IMAGE = "python:3.13-slim-bookworm"


def build_with_docker(names: Sequence[str]) -> Mapping[str, str]:
    """Build the images called `names`, or all but those that are built by name alone; their references, by name."""
    return {image.name: _build(image) for image in chosen(names)}


def _build(image: Image) -> str:
    """Build it, after those that it stands on; its reference."""
    reference = f"localhost/berth/{image.name}:{fingerprint(image, BASE_IMAGE)}"
    on = {argument: _build(other) for argument, other in image.on.items()}
    arguments = {"BASE_IMAGE": BASE_IMAGE, **on, **image.arguments}
    words = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    words += [f"--build-context={name}={folder}" for name, folder in image.beside.items()]
    words += [f"--target={image.target}"] if image.target else []
    words += [f"--file={image.dockerfile}", f"--tag={reference}"]
    if isinstance(image.context, Path):
        subprocess.run(["docker", "build", *words, str(image.context)], check=True)
        return reference
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in image.context.items():
            shutil.copy2(path, Path(scratch) / name)
        subprocess.run(["docker", "build", *words, scratch], check=True)
    return reference
