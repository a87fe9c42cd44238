"""The one owner of a node's background tasks."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """A task group that lives from `start` to `stop`.

    A task that fails ends the group: expected trouble is handled inside the tasks, so what gets
    here is a broken promise of our own code. `running` turns false, and `stop` raises it.
    """

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._root: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()

    async def start(self) -> None:
        """Open the group."""
        entered = asyncio.Event()
        self._root = asyncio.create_task(self._run(entered), name="node tasks")
        await entered.wait()

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Start a task of the group; only between `start` and `stop`."""
        assert self._group is not None, "the node is not running"
        return self._group.create_task(work, name=name)

    async def stop(self) -> None:
        """Cancel everything and wait until it has ended."""
        if self._root is None:
            return
        root, self._root, self._group = self._root, None, None
        root.cancel()
        await asyncio.wait((root,))
        if not root.cancelled() and root.exception() is not None:
            raise root.exception()  # type: ignore[misc]

    @property
    def running(self) -> bool:
        """Whether tasks can be started, and none of them has failed."""
        root = self._root
        return root is not None and not root.done() and not root.cancelling()

    async def _run(self, entered: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            entered.set()
            await self._leave.wait()
