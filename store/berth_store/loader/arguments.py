"""The command line of `python -m berth_store.loader`, parsed into `Options`."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from berth_api.trust import NO_TRUST, Trust
from berth_store.loader.load import MODEL_NAME, STORE_NAME
from berth_store.signing.demand import Demand
from berth_store.signing.options import add_options, read_demand
from berth_store.termination import DEFAULT_LOG

DEFAULT_PORT = 8001
DEFAULT_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """The whole command line. `patience_seconds` is how long no byte may come while trouble that may pass is tried."""

    source: str
    digest: str | None
    files: tuple[str, ...]
    revision: str
    into: Path
    progress_port: int
    patience_seconds: float
    termination_log: Path
    shared_by: str = ""
    quota_bytes: int | None = None
    demand: Demand | None = None
    link: str = MODEL_NAME
    trust: Trust = NO_TRUST


def parse_arguments(argv: Sequence[str]) -> Options:
    """The options; ends the process with status 2 and a sentence where they can't be."""
    parser = build_parser()
    given = parser.parse_args(argv)
    if given.shared_by and not given.digest:
        parser.error("--shared-by keeps artifacts apart by their digests: give --digest too")
    if given.quota is not None and not given.shared_by:
        parser.error("--quota bounds a folder that Models share: give --shared-by too")
    return Options(
        source=given.source,
        digest=given.digest,
        files=tuple(given.files),
        revision=given.revision,
        into=given.into,
        progress_port=given.progress_port,
        patience_seconds=given.patience,
        termination_log=given.termination_log,
        shared_by=given.shared_by or "",
        quota_bytes=given.quota,
        demand=read_demand(given),
        link=given.link,
        trust=Trust(pickle=given.trust_pickle, remote_code=given.trust_remote_code),
    )


def build_parser() -> argparse.ArgumentParser:
    """The options and their words."""
    parser = argparse.ArgumentParser(
        prog="python -m berth_store.loader",
        description="Bring a model's artifact into a folder, and say how far it is.",
    )
    add = parser.add_argument
    add("--source", required=True, metavar="URI", help="oci://, hf://, https:// or s3://")
    add("--digest", metavar="DIGEST", help="the digest that the source has to have")
    add("--files", action="append", default=[], metavar="PATTERN", help="only the files that match; may be repeated")
    add("--revision", default="", metavar="COMMIT", help="where an hf:// source was found")
    add("--trust-pickle", action="store_true", help="weights may be Python pickles")
    add("--trust-remote-code", action="store_true", help="Python files of the source are wanted too")
    add("--into", type=Path, required=True, metavar="FOLDER", help="where store and model will lie")
    add("--link", type=_link, default=MODEL_NAME, metavar="NAME", help="under which name in it (default: %(default)s)")
    add("--progress-port", type=_port, default=DEFAULT_PORT, metavar="PORT", help="where /progress answers (0: any)")
    add(
        "--patience",
        type=_seconds,
        default=DEFAULT_PATIENCE_SECONDS,
        metavar="SECONDS",
        help="how long to go on trying while not a byte comes (default: %(default)s)",
    )
    add("--termination-log", type=Path, default=DEFAULT_LOG, metavar="FILE", help="where a failure is told")
    add_options(parser)
    add(
        "--shared-by",
        type=_model,
        metavar="MODEL",
        help="other Models use the folder too: hold the artifact for this one, show it as sha256-<hex>, and where room "
        "lacks free what no pod holds",
    )
    add(
        "--quota",
        type=_bytes,
        metavar="BYTES",
        help="with --shared-by: fetch only if the folder then has no more than this",
    )
    return parser


def _link(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", text) or text == STORE_NAME:
        raise argparse.ArgumentTypeError(f"{text!r} is no name for a link beside the store")
    return text


def _model(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a Model")
    return text


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port; ports are 0 to 65535")
    return port


def _bytes(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes")
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return seconds
