"""`python -m berth_store.loader.check --volume /image --into /models`: what an image volume is looked through with.

Container runtimes mount the layers of images and pass over all others without a word, so that a pod would start over
an empty folder. This ends with 0 once `INTO/model` leads to a model, or with 1 and a termination message that says why
not.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from berth_api.artifact import Format, Task
from berth_api.errors import BerthError, UnsupportedModel
from berth_store.archive.kinds import MODEL_FOLDERS
from berth_store.detect import detect_bounded
from berth_store.durable import writing
from berth_store.errors import NoModelInSource
from berth_store.loader.load import MODEL_NAME
from berth_store.signals import end_at_once_on_signals
from berth_store.termination import DEFAULT_LOG, end_with

_OTHER_WAY: Final = "take spec.cache.type: Pod, which fetches artifacts of every shape"


def main() -> int:
    """Look, link and tell; the exit status."""
    asked = build_parser().parse_args()
    end_at_once_on_signals()
    try:
        found = find_model(
            asked.volume,
            task=asked.task,
            weights_format=asked.format,
            own_template=asked.own_template,
            pickles=asked.trust_pickle,
        )
        link_to(found, asked.into)
    except (BerthError, OSError) as error:
        return end_with(error, asked.termination_log)
    sys.stdout.write(f"the model lies at {found}\n")
    return 0


def find_model(
    volume: Path,
    *,
    task: Task = Task.AUTO,
    weights_format: Format | None = None,
    own_template: bool = False,
    pickles: bool = False,
) -> Path:
    """The folder of the image's file system that holds the model. Raises NoModelInSource."""
    formats = {weights_format} if weights_format else ()
    if not any(volume.iterdir()):
        raise NoModelInSource(
            "the image volume is empty: container runtimes mount only the layers of images, and this artifact has "
            f"others; build an image with the model in /{MODEL_FOLDERS[0]}, or {_OTHER_WAY}"
        )
    refusals = []
    for folder in (volume / name for name in MODEL_FOLDERS):
        if folder.is_dir():
            try:
                detect_bounded(folder, task=task, formats=formats, own_template=own_template, pickles=pickles)
            except UnsupportedModel as refusal:
                refusals.append(str(refusal).replace(str(volume), ""))
            else:
                return folder
    raise NoModelInSource(_nothing_found(refusals))


def link_to(folder: Path, into: Path) -> None:
    """Let `into/model` lead to the folder, also where the container starts a second time."""
    link = into / MODEL_NAME
    with writing(into):
        link.unlink(missing_ok=True)
        link.symlink_to(folder)


def _nothing_found(refusals: Sequence[str]) -> str:
    if refusals:
        return f"the image has no model that can be served: {'; '.join(refusals)}"
    places = ", ".join(f"/{name}" for name in MODEL_FOLDERS)
    return f"the image has none of the folders {places}; put the model into /{MODEL_FOLDERS[0]}, or {_OTHER_WAY}"


def build_parser() -> argparse.ArgumentParser:
    """The options and their words."""
    parser = argparse.ArgumentParser(
        prog="python -m berth_store.loader.check", description="Find the model in an image that is mounted."
    )
    add = parser.add_argument
    add("--volume", type=Path, required=True, metavar="FOLDER", help="where the image is mounted")
    add("--into", type=Path, required=True, metavar="FOLDER", help="where a link to the model is made")
    add("--task", type=Task, default=Task.AUTO, metavar="TASK", help="what the model does, if its files don't say")
    add("--format", type=Format, metavar="FORMAT", help="which of several formats is meant")
    add("--own-template", action="store_true", help="the user gives a chat template: do not judge this model's")
    add("--trust-pickle", action="store_true", help="weights may be Python pickles")
    add("--termination-log", type=Path, default=DEFAULT_LOG, metavar="FILE", help="where a failure is told")
    return parser


if __name__ == "__main__":
    sys.exit(main())
