"""How much of a stroke a head had right before it was learnt.

Where objects are told apart, it is not enough that a pixel has the right class: where two of a kind
touch, that can be so while both are proposed as one.

Letters: H W size of the picture, h w of what is proposed, N patches, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from plainmask.label.canvas import Canvas, PatchLabels
from plainmask.label.drawing import draw
from plainmask.label.features import KeptTaps, seen
from plainmask.label.objects import FRESH, shrunk
from plainmask.label.planes import Planes
from plainmask.label.project import Project
from plainmask.label.proposing import planes_of, shown_size
from plainmask.label.saying import Says

RightOf: TypeAlias = Callable[[Says], "float | None"]
"""Gives the share 0..1 of a stroke that a head has right; None: it cannot be told."""


def of_classes(project: Project, number: int, labels: PatchLabels, patch: int) -> RightOf:
    """The share of a stroke whose class is right, by patches.

    Args:
        project: of it.
        number: of the stroke.
        labels: of the patches that it touches, with it.
        patch: side of a patch, as the encoder sees it.

    Returns:
        a function, which raises InputError where the picture cannot be read.
    """
    stroke = project.history.strokes[number].stroke
    assert stroke is not None
    picture = project.picture(stroke.picture)
    new = (labels.newest == number) & (labels.covered > 0)
    patches, shares, covered = labels.patches[new], labels.shares[new], labels.covered[new]

    def right(says: Says) -> float:
        found = says(picture, seen(picture.size, patch).grid(patch)).classes
        classes = found.ravel()[patches].astype(np.int64)
        known = np.pad(shares, ((0, 0), (0, 1)))  # classes that came later are not in them
        its = np.take_along_axis(known, np.minimum(classes, shares.shape[1])[:, None], 1)[:, 0]
        return float(np.average(its, weights=covered))

    return right


def of_objects(project: Project, number: int, taps: KeptTaps) -> RightOf:
    """The share of a stroke that was proposed before it was drawn; see `share_of`.

    Args:
        project: of objects.
        number: of the stroke.
        taps: of its pictures.

    Returns:
        a function, which raises InputError where the picture cannot be read.
    """
    history = project.history
    stroke = history.strokes[number].stroke
    assert stroke is not None
    picture = project.picture(stroke.picture)

    def right(says: Says) -> float | None:
        others = ((one, what) for one, what in history.of_picture(picture.name) if one < number)
        geometry = seen(picture.size, taps.patch)
        before = Canvas.of(geometry, taps.patch, others, with_objects=True).planes
        after = before.copy()
        found = draw(after, stroke)
        if found is None:
            return None
        box, changed = found
        drawn = np.zeros(picture.size, np.bool_)
        drawn[box.cut] = changed
        size = shown_size(picture)
        return share_of(
            shrunk(after.where(drawn), size),
            planes_of(says, picture, taps, size, before),
            is_new=not (before.objects == stroke.object).any(),
        )

    return right


def share_of(drawn: Planes, proposed: Planes, *, is_new: bool) -> float | None:
    """The share of a stroke that lies in what it belongs to; None: it is too small to tell.

    That is a pixel of the right class that is background, as the stroke is; or of the object that
    the stroke goes on with; or, of a new one, of one object that has no labels, the one in which
    most of the stroke lies. An object that has swallowed its neighbour has labels once that has a
    stroke; of one cut in two only a part counts.

    Args:
        drawn: (h, w) the stroke, one object or background, with nothing elsewhere.
        proposed: (h, w) beside the labels that were there before it.
        is_new: whether its object began with it.
    """
    assert drawn.objects is not None
    assert proposed.objects is not None
    its = drawn.known
    if not its.any():
        return None
    objects, wanted = proposed.objects[its], drawn.objects[its]
    if is_new and wanted.any():
        nameless = np.bincount(objects[objects > FRESH])
        wanted = nameless.argmax() if len(nameless) else -1
    return float(((objects == wanted) & (proposed.classes[its] == drawn.classes[its])).mean())
