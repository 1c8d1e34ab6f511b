"""What the control socket and the file watch command: manifests taken in, handed to the instance, and watched."""

from collections.abc import Sequence

from berth_api.errors import FieldError
from berth_api.model import Model
from berth_api.route import ModelRoute
from berth_api.support import unsupported_fields
from berth_cli.laptop.intake import Intake
from berth_cli.laptop.latest import Latest
from berth_cli.laptop.serve import Instance
from berth_cli.laptop.view import View
from berth_cli.laptop.watch import watch_changes
from berth_cli.manifests.source import Source


def check_for_laptop(one: Model | ModelRoute) -> Sequence[FieldError]:
    """What a manifest asks for and this machine, or this version, can't do."""
    return unsupported_fields(one, laptop=True)


class InstanceService:
    """The manifests of one instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._intake = Intake(check_for_laptop)

    @property
    def views(self) -> Latest[View]:
        """What is shown."""
        return self._instance.views

    @property
    def has_sources(self) -> bool:
        """Whether anybody applied anything yet."""
        return bool(self._intake.sources)

    def apply(self, sources: Sequence[Source]) -> int:
        """Takes manifests over. Raises `InvalidManifests` and changes nothing otherwise."""
        self._intake.apply(sources)
        return self._instance.take(self._intake.reading, applied=True)

    def stop(self) -> None:
        """Stops all in order."""
        self._instance.stop()

    async def watch(self) -> None:
        """Takes over every good edit of the files, and shows what is wrong with a bad one."""
        async for _ in watch_changes(lambda: self._intake.sources):
            before = self._intake.reading
            problem = self._intake.reread()
            self._instance.reject(str(problem) if problem else "")
            if self._intake.reading != before:
                self._instance.take(self._intake.reading, applied=False)
