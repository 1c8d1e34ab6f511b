"""Puts a real instance together and runs it to its end: lock, port, gateway, control socket, watch, signals.

Called by `berth up`, in the foreground or as its own detached child. Whatever happens, the order of the way out is:
instance (so all engines), gateway, control socket, record, lock.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

from berth_cli.laptop.control import ControlServer
from berth_cli.laptop.gateway import EnvoyGateway
from berth_cli.laptop.home import InstanceRecord, RunFolder
from berth_cli.laptop.memory import observe_room_bytes
from berth_cli.laptop.ports import ensure_free
from berth_cli.laptop.prepare import LocalPreparer
from berth_cli.laptop.probe import HttpProbe
from berth_cli.laptop.process import LocalLauncher
from berth_cli.laptop.serve import Instance, Parts
from berth_cli.laptop.service import InstanceService
from berth_cli.laptop.settings import UpSettings
from berth_cli.laptop.stopping import StopSignals
from berth_gateway.settings import GatewaySettings
from berth_store.home import default_quota
from berth_store.local import Store
from berth_store.registries import RegistryConfig

Work = Callable[[InstanceService], Awaitable[int]]


async def run_instance(settings: UpSettings, work: Work) -> int:
    """Runs an instance for as long as it is not stopped, and `work` beside it; returns the exit code of `work`.

    The caller holds the lock of the run folder. `work` may stop the instance. Raises `BerthError` if the instance can't
    begin.
    """
    async with AsyncExitStack() as stack:
        signals = stack.enter_context(StopSignals())
        ensure_free(settings.host, settings.port)
        record = _begin(settings, stack)
        instance = await _build(settings, record, stack)
        signals.connect(instance)
        service = InstanceService(instance)
        control = ControlServer(record.control_socket, service, settings.version)
        stack.push_async_callback(control.close)
        await control.open()
        RunFolder(settings.home).open(record)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(service.watch())
            running = group.create_task(instance.run())
            code = await work(service)
            instance.stop()
            await running
            watching.cancel()
        return code


def _begin(settings: UpSettings, stack: AsyncExitStack) -> InstanceRecord:
    run = RunFolder(settings.home)
    started = datetime.now().astimezone()
    folder, sockets = run.new_start(f"{started:%Y%m%d-%H%M%S}-{os.getpid()}")
    record = InstanceRecord(
        pid=os.getpid(),
        version=settings.version,
        address=settings.address,
        started=started.isoformat(timespec="seconds"),
        folder=str(folder),
        sockets=str(sockets),
    )
    stack.callback(run.clean, record)
    return record


async def _build(settings: UpSettings, record: InstanceRecord, stack: AsyncExitStack) -> Instance:
    logs = Path(record.folder) / "logs"
    launcher = LocalLauncher()
    gateway_settings = GatewaySettings(run_dir=Path(record.sockets), host=settings.host, port=settings.port)
    gateway = EnvoyGateway(gateway_settings, launcher, logs / "envoy.log")
    stack.push_async_callback(gateway.stop)
    await gateway.start()
    probe = HttpProbe()
    stack.push_async_callback(probe.close)
    store = Store(settings.home / "store", quota_bytes=default_quota())
    return Instance(
        Parts(
            preparer=LocalPreparer(store, RegistryConfig.from_environment()),
            launcher=launcher,
            probe=probe,
            gateway=gateway,
            logs=logs,
            observe_room_bytes=observe_room_bytes,
        ),
        address=settings.address,
        notes=settings.notes,
    )
