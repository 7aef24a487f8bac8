"""Videos that a server remembers: frames share passes, heads are replaced, and all is bounded."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from plainmask.decoder.decoder import PlainMaskDecoder
from plainmask.heads.head import Head
from plainmask.serve.limits import Limits, RefusedError
from plainmask.serve.service import Followed, Service
from plainmask.serve.streams import ANEW
from servers import frame, video_and_image
from tiny import tiny_encoder, tiny_video_head


def service(limits: Limits | None = None) -> Service:
    return Service.of(video_and_image(), limits)


def areas(found: Followed) -> list[tuple[int, int]]:
    return [(row["track_id"], row["area"]) for row in found.result.rows()]


def test_frames_of_several_videos_share_a_pass():
    served = service()

    async def all_at_once() -> list[list[Followed]]:
        streams = [served.streams.open(k, served.heads(["video"])) for k in range(4)]
        return [
            await asyncio.gather(
                *(served.follow("video", one, frame(4 * time + k)) for k, one in enumerate(streams))
            )
            for time in range(3)
        ]

    found = asyncio.run(all_at_once())
    served.close()
    text = served.numbers.text().decode()
    passes = float(
        text.split('plainmask_encoder_passes_total{encoder="')[1].split("} ")[1].split()[0]
    )
    assert passes < 12
    assert 'head="video",task="panoptic"} 12.0' in text
    for place in range(4):
        alone = served.segmenter["video"].stream()
        for time in range(3):
            expected = alone.step(frame(4 * time + place))
            assert found[time][place].result.frame_index == time
            assert (found[time][place].result.flat_map() == expected.flat_map()).mean() > 0.999


def test_frames_of_one_video_are_taken_in_the_order_they_came():
    served = service()

    async def follow() -> list[Followed]:
        one = served.streams.open("a", served.heads(["video"]))
        return list(
            await asyncio.gather(*(served.follow("video", one, frame(k)) for k in range(5)))
        )

    found = asyncio.run(follow())
    served.close()
    assert [one.result.frame_index for one in found] == list(range(5))


def replaced(head: Head) -> list[Followed]:
    """Two frames, the second after the head was replaced."""
    served = service()

    async def follow() -> list[Followed]:
        one = served.streams.open("a", served.heads(["video"]))
        first = await served.follow("video", one, frame(0))
        await served.put("video", lambda: head)
        return [first, await served.follow("video", one, frame(1))]

    found = asyncio.run(follow())
    served.close()
    return found


def test_a_replaced_head_goes_on_from_what_fits():
    found = replaced(tiny_video_head("panoptic", tiny_encoder(), "linear"))
    assert found[1].result.frame_index == 1
    assert found[1].notice == {}


def test_a_replaced_head_of_another_shape_begins_anew_and_says_so():
    encoder = tiny_encoder()
    wider = tiny_video_head("panoptic", encoder)
    config = wider.config.decoder.model_copy(update={"num_queries": 9})

    head = Head(
        wider.config.model_copy(update={"decoder": config}), PlainMaskDecoder(config).eval()
    )
    found = replaced(head)
    assert found[1].result.frame_index == 0
    assert found[1].notice == {"notice": ANEW}


def test_a_head_that_is_gone_is_said():
    served = service()

    async def follow() -> None:
        one = served.streams.open("a", served.heads(["video"]))
        await served.follow("video", one, frame(0))
        served.remove("video")
        await served.follow("video", one, frame(1))

    with pytest.raises(RefusedError, match="no head 'video'") as caught:
        asyncio.run(follow())
    served.close()
    assert caught.value.status == 404


def test_a_bad_frame_changes_nothing(tmp_path: Path):
    served = service()

    async def follow() -> Followed:
        one = served.streams.open("a", served.heads(["video"]))
        await served.follow("video", one, frame(0))
        with pytest.raises(Exception, match="not a picture"):
            await served.follow("video", one, b"no picture")
        return await served.follow("video", one, frame(1))

    found = asyncio.run(follow())
    served.close()
    stream = served.segmenter["video"].stream()
    stream.step(frame(0))
    assert np.array_equal(found.result.flat_map(), stream.step(frame(1)).flat_map())


def test_how_many_there_are_is_bounded():
    served = service(Limits(streams=1))
    heads = served.heads(["video"])
    served.streams.open("a", heads)
    served.streams.open("a", heads)
    with pytest.raises(RefusedError, match="1 streams are open") as caught:
        served.streams.open("b", heads)
    assert caught.value.status == 429
    served.streams.close("a")
    served.streams.open("b", heads)
    assert len(served.streams) == 1
    served.close()
