"""Videos over a WebSocket: a frame in, a result out; the memory stays on the server.

The client sends the files of frames as binary messages, in order, and gets an answer for each. A
text message `{"reset": true}` forgets the video; `{"state": true}` is answered with the state as a
binary message (safetensors, see `plainmask.State`), and `{"state": "<base64>"}` goes on from one:
so a stream moves to another server.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from plainmask.decoder.propagation import State
from plainmask.errors import InputError, PlainmaskError
from plainmask.inference.stream import Stream
from plainmask.serve.answers import MASKS, answer
from plainmask.serve.limits import RefusedError
from plainmask.serve.service import Service

ENDED, REFUSED, FULL = 1001, 1008, 1013
"""Why a socket is closed: the server ends or waited too long; a wrong request; try again later."""


@dataclass
class Open:
    """How many streams there are."""

    count: int = 0


async def follow(socket: WebSocket) -> None:
    """GET /v1/stream?head=NAME[&masks=rle]: follow one video with one head."""
    service: Service = socket.app.state.service
    opened: Open = socket.app.state.open_streams
    await socket.accept()
    if opened.count >= service.limits.streams:
        await refuse(socket, FULL, f"{opened.count} streams are open, as many as are allowed")
        return
    opened.count += 1
    try:
        await go_on(socket, service)
    except WebSocketDisconnect:
        pass
    except TimeoutError:
        await refuse(socket, ENDED, f"no frame for {service.limits.idle:g} s")
    except PlainmaskError as error:
        code = FULL if isinstance(error, RefusedError) and error.status in (429, 503) else REFUSED
        await refuse(socket, code, str(error))
    finally:
        opened.count -= 1


async def refuse(socket: WebSocket, code: int, message: str) -> None:
    """Say why, and close."""
    await socket.send_json({"error": message})
    await socket.close(code)


async def go_on(socket: WebSocket, service: Service) -> None:
    """Answer frame by frame, until the client goes or something is wrong."""
    name = socket.query_params.get("head") or next(iter(service.segmenter.heads), "")
    masks = socket.query_params.get("masks", "rle")
    if masks not in MASKS:
        raise RefusedError(422, f"masks must be one of {', '.join(MASKS)}, not {masks!r}")
    stream = Stream(service.segmenter.shared, service.heads([name]))
    while True:
        message = await asyncio.wait_for(socket.receive(), service.limits.idle)
        if message["type"] == "websocket.disconnect":
            return
        if message.get("bytes") is None:
            await change(socket, stream, str(message.get("text", "")))
            continue
        frame = await asyncio.to_thread(service.decode, message["bytes"])
        found = await asyncio.wrap_future(service.passes.do(partial(stream.step, frame)))
        result = found[name].keep()
        told = await asyncio.to_thread(answer, result, masks)
        await socket.send_json(told | {"frame_index": result.frame_index})


async def change(socket: WebSocket, stream: Stream, text: str) -> None:
    """Do what a text message says.

    Raises:
        InputError: it says nothing that is known, or holds no state of this head.
    """
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    match said:
        case {"reset": True}:
            stream.reset()
        case {"state": True}:
            await socket.send_bytes(b"" if stream.state is None else packed(stream.state))
        case {"state": str(given)}:
            stream.state = {name: unpacked(given) for name in stream.heads}
        case _:
            raise InputError(
                'a text message is {"reset": true}, {"state": true} or {"state": "<base64>"}; '
                "frames are sent as binary messages"
            )


def packed(states: dict[str, State]) -> bytes:
    """The state of the one head, as `State.save` writes it."""
    (state,) = states.values()
    with TemporaryDirectory() as folder:
        return state.save(Path(folder) / "state.safetensors").read_bytes()


def unpacked(text: str) -> State:
    """A state from base64.

    Raises:
        InputError: it is none.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.safetensors"
        try:
            path.write_bytes(base64.b64decode(text, validate=True))
            return State.load(path)
        except (ValueError, InputError) as error:
            reason = str(error).replace(str(path), "what was sent")
            raise InputError(f"the state cannot be used: {reason}") from error
