"""`python -m e2e.cluster VERB …`: bring the cluster up and down, and reach into it; `--help` lists the verbs."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from e2e.cluster import lifecycle, machine
from e2e.cluster.fleet import KINDS, build_fleet
from e2e.cluster.images.build import bring_images
from e2e.cluster.layout import StateFolderRefused
from e2e.cluster.namespaces import NotUp
from e2e.cluster.node import CommandFailed, NeverHappened, Node

# What is told in one line; anything else is a fault of ours, with its traceback.
TOLD = (machine.MachineLacks, StateFolderRefused, NotUp, CommandFailed, NeverHappened)


def main() -> int:
    """Do what the command line says; the exit status."""
    arguments = _parse_arguments()
    try:
        return COMMANDS[arguments.verb](Node.from_environment(), arguments)
    except TOLD as error:
        sys.stderr.write(f"e2e.cluster: {error}\n")
        return 1


def _up(node: Node, _arguments: argparse.Namespace) -> int:
    lifecycle.bring_up(node)
    sys.stdout.write(f"{node.kubeconfig}\n")
    return 0


def _down(node: Node, _arguments: argparse.Namespace) -> int:
    lifecycle.bring_down(node.layout)
    return 0


def _run(node: Node, arguments: argparse.Namespace) -> int:
    # Entering the mounts leaves the working folder behind.
    argv = node.command(["env", f"--chdir={Path.cwd()}", *arguments.command])
    os.execvpe(argv[0], argv, node.environment)  # noqa: S606 - an argument list, and our own process becomes it


def _images(node: Node, arguments: argparse.Namespace) -> int:
    bring_images(node, arguments.names)
    sys.stdout.write("".join(f"{name} {reference}\n" for name, reference in node.images.items()))
    return 0


def _load(node: Node, arguments: argparse.Namespace) -> int:
    node.load(arguments.archive)
    return 0


def _status(node: Node, _arguments: argparse.Namespace) -> int:
    up = lifecycle.is_up(node)
    for name, pid in node.processes.items():
        sys.stdout.write(f"{name:<24} {pid or 'not running'}\n")
    for name, reference in node.images.items():
        sys.stdout.write(f"{name:<24} {reference}\n")
    sys.stdout.write(f"{'up' if up else 'not up'}: {node.layout.state}\n")
    return 0 if up else 1


def _gpus(node: Node, arguments: argparse.Namespace) -> int:
    node.set_gpus(arguments.count)
    return 0


def _fleet(node: Node, arguments: argparse.Namespace) -> int:
    node.apply(build_fleet(dict(arguments.counts)))
    return 0


COMMANDS: Mapping[str, Callable[[Node, argparse.Namespace], int]] = {
    "up": _up,
    "down": _down,
    "run": _run,
    "images": _images,
    "load": _load,
    "status": _status,
    "gpus": _gpus,
    "fleet": _fleet,
}


def _kind_and_count(text: str) -> tuple[str, int]:
    kind, _, count = text.partition("=")
    if kind not in KINDS or not count.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND=COUNT with KIND one of {', '.join(KINDS)}")
    return kind, int(count)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m e2e.cluster", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="make the cluster, or heal it; prints the kubeconfig's path")
    verbs.add_parser("down", help="end it and remove everything that it wrote")
    verbs.add_parser("run", help="run a command inside").add_argument("command", nargs="+")
    images = verbs.add_parser("images", help="build what changed, and push it to the cluster's registry")
    images.add_argument("names", nargs="*", metavar="NAME")
    verbs.add_parser("load", help="import an image archive").add_argument("archive")
    verbs.add_parser("status", help="what runs, and which images the registry holds")
    verbs.add_parser("gpus", help="give the real node fake GPUs").add_argument("count", type=int)
    fleet = verbs.add_parser("fleet", help=f"add fake nodes of the kinds {', '.join(KINDS)}")
    fleet.add_argument("counts", nargs="+", type=_kind_and_count, metavar="KIND=COUNT")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
