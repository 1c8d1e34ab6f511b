"""Whether this replica leads. Only a leader drains the queue and writes; followers keep their caches warm."""

import logging
from collections.abc import Callable

from berth_kube.cluster import Cluster
from berth_kube.lease import Elector, LeaseTimes
from berth_kube.resources import Key
from berth_operator.settings import LeaseSettings, OperatorSettings

log = logging.getLogger(__name__)


def lease_times(lease: LeaseSettings) -> LeaseTimes:
    """The times of the Lease. Raises InvalidSpec where a leader could outlast it."""
    return LeaseTimes(lease.duration_seconds, lease.renew_deadline_seconds, lease.retry_seconds)


class Leadership:
    """This replica's part in the election. `begin` is called when it starts to lead: everything must be looked at.

    `name` is the pod's. `clock` is that of the event loop.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: OperatorSettings,
        name: str,
        begin: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._begin = begin
        self._clock = clock
        self.elector = Elector(
            cluster,
            Key(settings.namespace, settings.lease.name),
            name,
            times=lease_times(settings.lease),
            on_change=self._change,
            now=clock,
        )

    @property
    def is_leading(self) -> bool:
        """Whether this replica leads now."""
        return self.elector.leading.is_set()

    def seconds_to_write(self) -> float:
        """For how long a write that starts now may take; nothing where none may start."""
        now = self._clock()
        return self.elector.write_deadline(now) - now

    def _change(self, leads: bool) -> None:
        log.info("leading" if leads else "following", extra={"identity": self.elector.identity})
        if leads:
            self._begin()
