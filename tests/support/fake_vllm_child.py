"""What the supervisor starts in place of vLLM: `python -m fake_vllm_child ORDERS…`. It speaks on the link as told.

ready           say READY at once
drains          say DRAINED on DRAIN
ends            say DRAINED on END
loses           say DIED on LOST
dies            say DIED at once, and go on
gives-up        say that the engine failed to start, and go on
deaf            ignore SIGTERM
child           start a process that ignores SIGTERM too; its pid is the first line that is said
exit=3          end with that status at once; `say=…` is written before, with underscores for blanks
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys

from berth_runtime.vllm.link import Link, Word
from berth_runtime.vllm.settings import read_settings


async def main() -> None:
    orders = dict(order.partition("=")[::2] for order in sys.argv[1:])
    settings = read_settings(os.environ)
    assert settings.link_fd is not None
    link: Link | None = None

    def hear(word: Word) -> None:
        assert link is not None
        print(f"heard {word}", flush=True)
        if (word is Word.DRAIN and "drains" in orders) or (word is Word.END and "ends" in orders):
            link.say(Word.DRAINED)
        if word is Word.LOST and "loses" in orders:
            link.say(Word.DIED)

    link = await Link.open(socket.socket(fileno=settings.link_fd), hear)
    if "deaf" in orders:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "child" in orders:
        code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
        print(subprocess.Popen([sys.executable, "-c", code]).pid, flush=True)
    if "exit" in orders:
        print(orders.get("say", "").replace("_", " "), flush=True)
        sys.exit(int(orders["exit"]))
    if "ready" in orders:
        link.say(Word.READY)
        print("is ready", flush=True)
    if "gives-up" in orders:
        print("(EngineCore pid=7) ERROR EngineCore failed to start.\nRuntimeError: no compiler", flush=True)
    if "dies" in orders:
        link.say(Word.DIED)
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main())
