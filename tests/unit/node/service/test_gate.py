"""The gate: writes of some codes wait, others pass, and those under way are stored first."""

import asyncio

import numpy as np
import pytest

from node.errors import DeadlineExceeded
from node.service.gate import Gate
from tests.sim.loop import VirtualClock, VirtualLoop


def codes(*numbers: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array(numbers, np.int64)


def test_the_gate() -> None:
    async def story() -> None:
        gate = Gate(VirtualClock(loop))
        with gate.passing(codes(5)), gate.passing(codes(50)):
            with gate.closed(((0, 10),)):
                assert not await gate.wait(codes(10, 11), deadline_ms=100)
                assert not await gate.wait_passed(((0, 10),), deadline_ms=20)
                with pytest.raises(DeadlineExceeded):
                    await gate.wait(codes(11, 9), deadline_ms=50)
                held = asyncio.create_task(gate.wait(codes(3), deadline_ms=10_000))
                await asyncio.sleep(1)
                assert not held.done()
            assert await held, "it was held back"
        with gate.closed(((0, 10),)):
            passing = gate.passing(codes(90))
            with passing:
                assert await gate.wait_passed(((0, 10),), deadline_ms=0), "others do not count"
        assert not await gate.wait(codes(3), deadline_ms=0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        runner.run(story())
