"""The virtual loop: time jumps, order holds, deadlocks are told."""

import asyncio
import time

import pytest

from tests.sim.loop import Deadlock, VirtualClock, VirtualLoop


def test_an_hour_passes_at_once_and_in_order() -> None:
    seen: list[str] = []

    async def main() -> float:
        async def later(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            seen.append(name)

        await asyncio.gather(later("c", 3_600), later("a", 1), later("b", 1.0000001))
        return asyncio.get_running_loop().time()

    started = time.monotonic()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        virtual = runner.run(main())
    assert seen == ["a", "b", "c"]
    assert virtual == pytest.approx(3_600)
    assert time.monotonic() - started < 60


def test_waiting_for_nothing_is_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    runner = asyncio.Runner(loop_factory=VirtualLoop)
    with pytest.raises(Deadlock):
        runner.run(main())
    loop = runner.get_loop()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    runner.close()


def test_the_clock_follows_the_loop_with_its_skew() -> None:
    loop = VirtualLoop()
    clock = VirtualClock(loop, skew_us=-5_000_000)
    assert (clock.now_ms(), clock.now_us()) == (0, VirtualClock.EPOCH_US - 5_000_000)
    loop.run_until_complete(asyncio.sleep(2.5))
    assert (clock.now_ms(), clock.now_us()) == (2_500, VirtualClock.EPOCH_US - 2_500_000)
    loop.close()
