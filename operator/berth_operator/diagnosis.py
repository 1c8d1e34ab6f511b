"""From what pods show to what is wrong with them, as an ordered table of small rules: the first that speaks is heard.

A rule gets one pod and answers with a Finding or with nothing. The order is from the outside in: a pod that has no node
pulls no image, and one without an image has no engine that could be at fault.
"""

from collections.abc import Sequence
from typing import Final

from berth_kube.resources import Object
from berth_operator.engine_rules import (
    engine_out_of_memory,
    engine_rejected,
    fetch_failed,
    keeps_ending,
    start_too_slow,
)
from berth_operator.findings import Circumstances, Finding, Rule
from berth_operator.pod_rules import ended, evicted, image_not_mounted, image_not_pulled, not_created, not_scheduled
from berth_operator.pods import oldest_first

RULES: Final[tuple[Rule, ...]] = (
    evicted,
    not_scheduled,
    image_not_mounted,
    image_not_pulled,
    not_created,
    fetch_failed,
    engine_out_of_memory,
    engine_rejected,
    start_too_slow,
    keeps_ending,
    ended,
)


def diagnose(pods: Sequence[Object], circumstances: Circumstances) -> Finding | None:
    """The first trouble of the pods, the oldest pod first; None where all of them are on their way."""
    for pod in oldest_first(pods):
        for rule in RULES:
            finding = rule(pod, circumstances)
            if finding is not None:
                return finding
    return None
