"""Events of any thread reach every page that listens."""

import asyncio
import json
import threading
from typing import Any

from plainmask.label.events import Events


async def heard(events: Events, ends: list[bool]) -> list[Any]:
    listening = events.listen(lambda: {"n": 0}, lambda: bool(ends))
    return [json.loads(text[6:]) async for text in listening if text.startswith("data: ")]


def test_all_pages_hear_what_any_thread_tells():
    events, ends = Events(), list[bool]()

    async def walk() -> list[list[Any]]:
        pages = [asyncio.create_task(heard(events, ends)) for _ in range(2)]
        await asyncio.sleep(0.1)
        thread = threading.Thread(target=lambda: [events.tell({"n": n}) for n in (1, 2)])
        thread.start()
        thread.join()
        await asyncio.sleep(0.1)
        ends.append(True)
        return await asyncio.gather(*pages)

    assert asyncio.run(walk()) == [[{"n": 0}, {"n": 1}, {"n": 2}]] * 2


def test_what_is_told_to_nobody_is_gone():
    events = Events()
    events.tell({"n": 1})
    assert asyncio.run(heard(events, [True])) == [{"n": 0}]
    events.tell({"n": 2})  # the loop has ended
