"""`python -m berth_store.resolver --source URI`: says what an artifact is, on stdout and as termination message.

Ends with 0 and `{"artifact": {…}, "weights": "…", "notes": […]}`, with a `revision` where the source has one, or with 1
and `{"reason": "…", "message": "…"}`.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from berth_api.artifact import EngineType, Format, Task
from berth_api.errors import BerthError
from berth_api.trust import Trust
from berth_store.digest import parse_digest
from berth_store.errors import SourceUnreachable
from berth_store.on_claim import parse_on_claim
from berth_store.registries import RegistryConfig
from berth_store.resolver.on_claim import resolve_on_claim
from berth_store.resolver.resolve import Resolution, resolve
from berth_store.signals import end_at_once_on_signals
from berth_store.signing.options import add_options, read_demand
from berth_store.sources.address import source_name
from berth_store.termination import DEFAULT_LOG, reason_of, render_failure, render_success, write_termination

SOURCE_HELP = (
    "oci://host/name:tag, hf://organisation/model@revision, https://host/file or s3://bucket/prefix; with --volume "
    "pvc://claim/path"
)
# Less than a Job of the operator is given, so that it ends with a reason.
DEFAULT_TIMEOUT_SECONDS = 240.0


def main() -> int:
    """Resolve, and tell; the exit status."""
    asked = build_parser().parse_args()
    end_at_once_on_signals()
    try:
        found = asyncio.run(find_out(asked))
        status, message = 0, render_resolution(found)
    except (BerthError, OSError) as error:
        status, message = 1, render_failure(reason_of(error), str(error))
    write_termination(asked.termination_log, message)
    sys.stdout.write(message.decode() + "\n")
    return status


async def find_out(asked: argparse.Namespace) -> Resolution:
    """What the command line asks for. Raises `BerthError`."""
    trust = Trust(pickle=asked.trust_pickle, remote_code=asked.trust_remote_code)
    if asked.volume is not None:
        return await asyncio.to_thread(
            resolve_on_claim,
            parse_on_claim(asked.source),
            asked.volume,
            pinned=parse_digest(asked.digest, path="--digest") if asked.digest else None,
            task=asked.task,
            engine=asked.engine,
            weights_format=asked.format,
            own_template=asked.own_template,
            pickles=trust.pickle,
        )
    name = source_name(asked.source, asked.digest, asked.files, trust=trust)
    try:
        with tempfile.TemporaryDirectory(prefix="berth-", dir=asked.scratch, ignore_cleanup_errors=True) as scratch:
            async with asyncio.timeout(asked.timeout):
                return await resolve(
                    name,
                    registries=RegistryConfig.from_environment(),
                    scratch=Path(scratch),
                    task=asked.task,
                    engine=asked.engine,
                    weights_format=asked.format,
                    own_template=asked.own_template,
                    demand=read_demand(asked),
                    adapter=asked.adapter,
                    pickles=trust.pickle,
                )
    except TimeoutError as error:
        raise SourceUnreachable(
            f"{name}: {name.registry} did not deliver what is needed within {asked.timeout:g} seconds; "
            "it is tried again"
        ) from error


def render_resolution(found: Resolution) -> bytes:
    """The termination message of a success."""
    artifact = found.artifact.model_dump(mode="json", by_alias=True, exclude_none=True)
    facts = {"artifact": artifact, "weights": found.weights}
    return render_success({**facts, "revision": found.revision} if found.revision else facts, found.notes)


def build_parser() -> argparse.ArgumentParser:
    """The options and their words."""
    parser = argparse.ArgumentParser(prog="python -m berth_store.resolver", description="Say what an artifact is.")
    add = parser.add_argument
    add("--source", required=True, metavar="URI", help=SOURCE_HELP)
    add("--volume", type=Path, metavar="FOLDER", help="where the claim of a pvc:// source is mounted")
    add("--digest", metavar="DIGEST", help="the digest that the source has to have")
    add("--files", action="append", default=[], metavar="PATTERN", help="only the files that match; may be repeated")
    add("--task", type=Task, default=Task.AUTO, metavar="TASK", help="what the model does, if its files don't say")
    add("--engine", type=EngineType, default=EngineType.AUTO, metavar="ENGINE", help="whose format to look for")
    add("--format", type=Format, metavar="FORMAT", help="which of several formats is meant")
    add(
        "--own-template", action="store_true", help="a chat template is given beside the artifact: do not judge its own"
    )
    add_options(parser)
    add("--adapter", action="store_true", help="it holds an adapter for a model, and no model of its own")
    add("--trust-pickle", action="store_true", help="weights may be Python pickles")
    add("--trust-remote-code", action="store_true", help="Python files of the source are wanted too")
    add("--scratch", type=Path, metavar="FOLDER", help="where to keep what is looked at (default: TMPDIR, or /tmp)")
    add("--timeout", type=float, default=DEFAULT_TIMEOUT_SECONDS, metavar="SECONDS", help="when to give up")
    add("--termination-log", type=Path, default=DEFAULT_LOG, metavar="FILE", help="where the answer is written too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
