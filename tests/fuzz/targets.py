"""What is fuzzed, by name: from an empty folder to the samples that it starts from. A new reader is a line here."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.fuzz import corpus
from tests.fuzz.archives import archive_samples
from tests.fuzz.bundles import bundle_samples
from tests.fuzz.files import file_samples
from tests.fuzz.requests import request_samples
from tests.fuzz.run import Sample
from tests.fuzz.texts import manifest_samples, template_samples

Target = Callable[[Path], list[Sample]]


def _files(seeds: Callable[[], list[corpus.Seed]]) -> Target:
    return lambda folder: file_samples(seeds(), folder)


TARGETS: Mapping[str, Target] = {
    **{name: _files(seeds) for name, seeds in corpus.SEEDS.items()},
    "archives": archive_samples,
    "templates": lambda _: template_samples(),
    "manifests": lambda _: manifest_samples(),
    "requests": lambda _: request_samples(),
    "signatures": lambda _: bundle_samples(),
}
