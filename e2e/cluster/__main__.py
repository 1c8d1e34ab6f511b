"""`python -m e2e.cluster VERB …`: bring the cluster up and down, and reach into it; `--help` lists the verbs."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from e2e.cluster import lifecycle, machine
from e2e.cluster.clusters import Cluster, Own, cluster_of_this_machine
from e2e.cluster.fleet import KINDS, build_fleet
from e2e.cluster.images.build import BuildFailed
from e2e.cluster.layout import StateFolderRefused
from e2e.cluster.namespaces import NotUp
from e2e.cluster.node import CommandFailed, NeverHappened, Node

# What is told in a line; anything else is a fault of ours, with its traceback.
TOLD = (machine.MachineLacks, StateFolderRefused, NotUp, CommandFailed, NeverHappened, BuildFailed)


def main() -> int:
    """Do what the command line says; the exit status."""
    arguments = _parse_arguments()
    try:
        return VERBS[arguments.verb](cluster_of_this_machine(), arguments)
    except TOLD as error:
        sys.stderr.write(f"e2e.cluster: {error}\n")
        return 1


def _up(cluster: Cluster, _arguments: argparse.Namespace) -> int:
    sys.stdout.write(f"{cluster.bring_up()}\n")
    return 0


def _down(cluster: Cluster, _arguments: argparse.Namespace) -> int:
    cluster.bring_down()
    return 0


def _run(cluster: Cluster, arguments: argparse.Namespace) -> int:
    argv, environment = cluster.command(arguments.command)
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - an argument list, and our own process becomes it


def _images(cluster: Cluster, arguments: argparse.Namespace) -> int:
    for name, reference in cluster.bring_images(arguments.names).items():
        sys.stdout.write(f"{name} {reference}\n")
    return 0


def _load(cluster: Cluster, arguments: argparse.Namespace) -> int:
    _own(cluster).load(arguments.archive)
    return 0


def _status(cluster: Cluster, _arguments: argparse.Namespace) -> int:
    node = _own(cluster)
    up = lifecycle.is_up(node)
    for name, value in {**(node.processes if up else {}), **node.images}.items():
        sys.stdout.write(f"{name:<24} {value}\n")
    sys.stdout.write(f"{'up' if up else 'not up'}: {node.layout.state}\n")
    return 0 if up else 1


def _gpus(cluster: Cluster, arguments: argparse.Namespace) -> int:
    _own(cluster).set_gpus(arguments.count)
    return 0


def _fleet(cluster: Cluster, arguments: argparse.Namespace) -> int:
    _own(cluster).apply(build_fleet(dict(arguments.counts)))
    return 0


def _own(cluster: Cluster) -> Node:
    if not isinstance(cluster, Own):
        raise machine.MachineLacks(
            "only a cluster of our own can do that: unset BERTH_E2E_CONTEXTS, and be root on Linux"
        )
    return cluster.node


VERBS: Mapping[str, Callable[[Cluster, argparse.Namespace], int]] = {
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
    verbs.add_parser("load", help="import an image archive").add_argument("archive", type=Path)
    verbs.add_parser("status", help="what runs, and which images the registry holds")
    verbs.add_parser("gpus", help="give the real node fake GPUs").add_argument("count", type=int)
    fleet = verbs.add_parser("fleet", help=f"add fake nodes of the kinds {', '.join(KINDS)}")
    fleet.add_argument("counts", nargs="+", type=_kind_and_count, metavar="KIND=COUNT")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
