"""What heads say of pictures: the linear head, and the decoder behind it.

Letters: H W size that is asked for, C classes, N objects.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from plainmask.heads.head import Head
from plainmask.inference.images import segment_all
from plainmask.inference.shared_pass import SharedPass
from plainmask.label.config import BACKGROUND
from plainmask.label.features import KeptTaps, seen
from plainmask.label.objects import shrunk
from plainmask.label.planes import Planes
from plainmask.label.project import ProjectPicture
from plainmask.pictures.geometry import Size
from plainmask.results import InstanceResult, SemanticResult
from plainmask.results.regions import window_of

Says: TypeAlias = Callable[[ProjectPicture, Size], Planes]
"""What a head says of a picture, in the size (H, W) that is asked for: the class of each pixel; and
if it knows objects, the number of the object, from 1, or 0 for none."""

LEFT = 0.5
"""Share of an object that surer ones must have left of it."""
MAPS = 16
"""Pictures of which is kept what a decoder says."""


def class_ids(head: Head) -> NDArray[np.uint8]:
    """The ids in the project of the classes of a head that was learnt in it, (C,)."""
    return np.array([entry.file_id for entry in head.config.vocabulary.classes], np.uint8)


def linear_says(head: Head, taps: KeptTaps) -> Says:
    """What a semantic head says that sees pictures as their features are kept."""
    ids = class_ids(head)

    def says(picture: ProjectPicture, size: Size) -> Planes:
        geometry = replace(seen(picture.size, taps.patch), image_size=size)
        with taps.shared.computing():
            result = head.result(head.predict(taps.for_decoder(picture)), geometry)
        assert isinstance(result, SemanticResult)
        return Planes(ids[result.label_map], None)

    return says


class DecoderSays:
    """What a decoder says, of classes or of objects. Used by one thread.

    Args:
        head: learnt in the project, or elsewhere.
        shared: the encoder.
        knows_classes: whether its classes are the project's; otherwise only its objects are meant,
            and their class is background until they are `named`.
    """

    def __init__(self, head: Head, shared: SharedPass, *, knows_classes: bool = True):
        self.head, self.shared, self.knows_classes = head, shared, knows_classes
        no_class = np.full(len(head.config.vocabulary), BACKGROUND, np.uint8)
        self.ids = class_ids(head) if knows_classes else no_class
        self._kept: OrderedDict[str, Planes] = OrderedDict()

    def __call__(self, picture: ProjectPicture, size: Size) -> Planes:
        """See `Says`; where there is no object the class is background. Errors as `read_image`."""
        found = self._kept.pop(picture.name, None)
        if found is None:
            (results,) = segment_all(self.shared, {"it": self.head}, [picture.path])
            result = results["it"]
            if isinstance(result, InstanceResult):
                objects = disjoint(result)
                classes = np.append(np.uint8(BACKGROUND), self.ids[result.class_ids])
                found = Planes(classes[objects], objects)
            else:
                assert isinstance(result, SemanticResult)
                found = Planes(self.ids[result.label_map], None)
        self._kept[picture.name] = found
        if len(self._kept) > MAPS:
            self._kept.popitem(last=False)
        return found if found.classes.shape == size else shrunk(found, size)


def named(queries: DecoderSays, linear: Says) -> Says:
    """The objects of a head of other classes, by the class that the linear head mostly sees there.

    What that sees as background is no object, so the head may know more kinds of them. A head that
    knows the classes names them itself.
    """
    if queries.knows_classes:
        return queries

    def says(picture: ProjectPicture, size: Size) -> Planes:
        objects, classes = queries(picture, size).objects, linear(picture, size).classes
        assert objects is not None
        count = int(objects.max()) + 1
        pairs = np.bincount(objects.ravel() * np.int64(256) + classes.ravel(), None, 256 * count)
        most = pairs.reshape(count, 256).argmax(1).astype(np.uint8)
        return Planes(np.where(objects > 0, most[objects], classes), objects)

    return says


def completed(queries: Says, linear: Says) -> Says:
    """What a decoder says, and, where that has no object, the classes of the linear head.

    They are no objects (see `told_apart`), but what a person begins there, where the decoder has
    missed something, can grow to a region.
    """

    def says(picture: ProjectPicture, size: Size) -> Planes:
        found = queries(picture, size)
        if found.objects is None:
            return found
        none = found.objects == 0
        return found._replace(classes=np.where(none, linear(picture, size).classes, found.classes))

    return says


def disjoint(result: InstanceResult) -> NDArray[np.uint16]:
    """(H, W): numbers, from 1, of the sure objects of a result, 0 for none; each pixel has one.

    The surest has it. Of one that others have most of nothing is left: they are one object, which a
    head that has learnt little finds several times, whole and in parts.
    """
    objects = np.zeros(result.image_size, np.uint16)
    for index in np.argsort(-result.scores, kind="stable").tolist():
        rle = result.rles[index]
        if place := window_of(rle.box, result.image_size):
            free = rle.decode_within(*place) & (objects[place] == 0)
            if np.count_nonzero(free) >= LEFT * rle.area:
                objects[place][free] = index + 1
    return objects
