"""A value that changes, for readers who want its newest state: a slow reader skips what is past."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Latest(Generic[Value]):
    """The newest value; `follow` yields it and then each newer one."""

    def __init__(self, value: Value) -> None:
        self._value = value
        self._changed = asyncio.Event()

    @property
    def value(self) -> Value:
        """The newest value."""
        return self._value

    def set(self, value: Value) -> None:
        """Publishes a value, if it differs from the last."""
        if value != self._value:
            self._value = value
            self._changed.set()
            self._changed = asyncio.Event()

    async def follow(self) -> AsyncIterator[Value]:
        """Yields the present value and then every change that the reader is quick enough to see."""
        while True:
            changed, value = self._changed, self._value
            yield value
            await changed.wait()
