"""What kopf is told, so that it takes objects in and does nothing else."""

import asyncio
import getpass

import pytest

from berth_kube.credentials import Credentials
from berth_operator.intake import spawn_intake
from berth_operator.subject import Kind


async def test_it_starts_for_a_user_whom_the_system_has_no_name_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def getuser() -> str:
        raise KeyError("getpwuid(): uid not found: 65532")

    def never(kind: Kind, found: object) -> None:
        raise AssertionError(found)

    monkeypatch.setattr(getpass, "getuser", getuser)
    tasks = await spawn_intake(Credentials(lambda: pytest.fail("nobody asks yet")), (), put=never, drop=never)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
