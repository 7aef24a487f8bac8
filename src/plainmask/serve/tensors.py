"""Tensors of the Open Inference Protocol: a picture out of a request, results into an answer.

A tensor's values stand in JSON, or behind it as raw bytes (the protocol's binary extension). No
HTTP here.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from plainmask.serve.fields import from_base64, parameters, shown
from plainmask.serve.limits import RefusedError

SentPicture: TypeAlias = bytes | NDArray[np.uint8]
"""The content of a picture's file, or pixels (H, W, 3)."""


def read_picture(tensor: Mapping[str, Any], rest: bytes) -> SentPicture:
    """The picture of an input tensor: BYTES of shape [1], or UINT8 of [H, W, 3] or [1, H, W, 3].

    Args:
        tensor: as it stands in the JSON.
        rest: what follows the JSON; all of it belongs to this tensor.

    Raises:
        RefusedError: dtype, shape and data are not of this form, or do not fit each other (400);
            text that is not in base64 (422).
    """
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    if datatype == "BYTES":
        return read_file(tensor, rest, "image")
    if datatype == "UINT8":
        return _pixels(tensor, rest, _sides(shape))
    raise RefusedError(400, f"image must be of datatype BYTES or UINT8, not {shown(datatype)}")


def read_file(tensor: Mapping[str, Any], rest: bytes, name: str) -> bytes:
    """The content of a file: an input tensor BYTES of shape [1].

    Raises:
        RefusedError: as `read_picture`.
    """
    if tensor.get("datatype") != "BYTES":
        raise RefusedError(
            400, f"{name} must be of datatype BYTES, not {shown(tensor.get('datatype'))}"
        )
    if tensor.get("shape") != [1]:
        raise RefusedError(
            400, f"{name} as BYTES has the shape [1], not {shown(tensor.get('shape'))}"
        )
    raw = _raw(tensor, rest, name)
    if raw is None:
        data = tensor["data"]
        if not isinstance(data, list) or len(data) != 1 or not isinstance(data[0], str):
            raise RefusedError(
                400, f'the data of {name} as BYTES is ["<base64>"], one text in a list'
            )
        content = from_base64(data[0], name)
    else:
        content = raw[4:]
        if raw != _behind_its_length(content):
            raise RefusedError(
                400,
                f"{name} as raw BYTES is 4 bytes that tell the length of what follows, the lowest "
                f"first, and the file; not {len(content)} bytes behind {raw[:4].hex(' ')!r}",
            )
    if not content:
        raise RefusedError(400, f"{name} has no bytes; send the content of a file")
    return content


def written(
    name: str, value: str | bytes | NDArray[np.int32], *, binary: bool
) -> tuple[dict[str, Any], bytes]:
    """A text or a file as BYTES of shape [1], or numbers as INT32.

    Returns:
        the tensor as it stands in the JSON, with a file in base64, and what follows the JSON; empty
        unless binary.
    """
    if isinstance(value, np.ndarray):
        tensor = {"name": name, "datatype": "INT32", "shape": list(value.shape)}
        raw = value.astype("<i4").tobytes() if binary else b""
        data = [] if binary else value.ravel().tolist()
    else:
        tensor = {"name": name, "datatype": "BYTES", "shape": [1]}
        raw = _behind_its_length(value.encode() if isinstance(value, str) else value)
        data = [value if isinstance(value, str) else base64.b64encode(value).decode("ascii")]
    if binary:
        return tensor | {"parameters": {"binary_data_size": len(raw)}}, raw
    return tensor | {"data": data}, b""


def _behind_its_length(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def _raw(tensor: Mapping[str, Any], rest: bytes, name: str) -> bytes | None:
    """The bytes of a tensor that stand behind the JSON; None: its values stand in it."""
    given = parameters(tensor, f"the input {name}")
    size = given.get("binary_data_size")
    if size is None and "data" not in tensor:
        raise RefusedError(400, f"{name} has neither data nor the parameter binary_data_size")
    if size is not None and "data" in tensor:
        raise RefusedError(
            400, f"{name} has both data and the parameter binary_data_size; send one"
        )
    if size is None and not rest:
        return None
    if type(size) is not int or size != len(rest):
        raise RefusedError(
            400,
            f"{len(rest)} bytes follow the JSON, but the binary_data_size of {name} is "
            f"{shown(size)}",
        )
    return rest


def _sides(shape: object) -> tuple[int, int, int]:
    """Height, width and 3 of a shape."""
    sides = cast("list[Any]", shape) if isinstance(shape, list) else []
    if len(sides) == 4 and sides[0] == 1:
        sides = sides[1:]
    if len(sides) == 3 and sides[2] == 3 and all(type(s) is int and s > 0 for s in sides):
        return sides[0], sides[1], 3
    raise RefusedError(
        400, f"image as UINT8 has the shape [H, W, 3] or [1, H, W, 3], not {shown(shape)}"
    )


def _pixels(
    tensor: Mapping[str, Any], rest: bytes, sides: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """The values of a UINT8 tensor, (H, W, 3)."""
    raw = _raw(tensor, rest, "image")
    values = _numbers(tensor["data"]) if raw is None else np.frombuffer(raw, np.uint8)
    if values.shape not in ((values.size,), sides, (1, *sides)) or values.size != math.prod(sides):
        raise RefusedError(
            400,
            f"the data of image has the shape {shown(list(values.shape))}, which does not fit "
            f"{shown(list(sides))}",
        )
    return values.reshape(sides)


def _numbers(data: object) -> NDArray[np.uint8]:
    """Whole numbers 0..255 in a list, flat or nested."""
    try:
        values = np.asarray(data if isinstance(data, list) else None)
    except ValueError:  # rows of several lengths
        values = np.asarray(None)
    if values.dtype.kind not in "iu" or not values.size or values.min() < 0 or values.max() > 255:
        raise RefusedError(
            400,
            "the data of image as UINT8 is a list of whole numbers from 0 to 255, flat or nested "
            f"as its shape says, not {shown(data)}",
        )
    return values.astype(np.uint8)
