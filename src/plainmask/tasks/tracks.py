"""Which segment of a frame is which of the frames before, and for how long it has been seen.

All of it stands in the `State` of the video. A thing is known by its query, stuff by its class:
both have a place among the Q + C numbers of the state, their `key`.

Letters: Q queries, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plainmask.decoder.propagation import State
from plainmask.results import Moment
from plainmask.vocabulary import Vocabulary


def frame_index(state: State) -> int:
    """Of the frame that the network saw last, from 0."""
    return int(state.frames[0]) - 1


def key_of(query: int, class_id: int, num_queries: int, vocabulary: Vocabulary) -> int:
    """The place of a query that shows an object of this class."""
    return query if vocabulary.classes[class_id].thing else num_queries + class_id


def numbers_of(state: State) -> NDArray[np.int64]:
    """(Q + C,): the number given to each place when it was first shown, from 1; else 0."""
    return state.numbers[0].cpu().numpy().copy()


def base_of(state: State) -> int:
    """The highest number that was given before the scene that the video is in."""
    return int(state.base[0])


def numbered(numbers: NDArray[np.int64], keys: Sequence[int], base: int = 0) -> NDArray[np.int64]:
    """With numbers above `base` for those of these places that had none, in their order."""
    numbers = numbers.copy()
    for key in keys:
        if not numbers[key]:
            numbers[key] = max(numbers.max(), base) + 1
    return numbers


def shown(state: State, keys: Sequence[int], numbers: NDArray[np.int64] | None = None) -> State:
    """After a frame that shows these places, and with these numbers, if they are new."""
    ages = state.ages[0].cpu().numpy().copy()
    ages[sorted(set(keys))] += 1
    return state.with_tracks(numbers_of(state) if numbers is None else numbers, ages)


def moment(state: State, keys: Sequence[int], track_ids: Sequence[int]) -> Moment:
    """What to say about the segments of a frame, which have these places and numbers.

    The state is brought to the CPU, so that results that are kept do not fill a device.
    """
    ages = state.ages[0, list(keys)].tolist()
    return Moment(frame_index(state), tuple(track_ids), tuple(ages), state.to("cpu"))
