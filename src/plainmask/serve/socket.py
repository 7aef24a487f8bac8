"""Videos over a WebSocket: a frame in, a result out; the memory stays on the server.

The client sends the files of frames as binary messages, in order, and gets an answer for each. A
text message `{"reset": true}` forgets the video; `{"state": true}` is answered with the state as a
binary message (safetensors, see `plainmask.State`), and `{"state": "<base64>"}` goes on from one:
so a stream moves to another server.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from plainmask.errors import InputError, PlainmaskError
from plainmask.serve.answers import MASKS, Masks, answer
from plainmask.serve.fields import from_base64
from plainmask.serve.limits import RefusedError
from plainmask.serve.service import Service
from plainmask.serve.streams import Following

log = logging.getLogger("plainmask.serve")
ENDED, REFUSED, FAILED, FULL = 1001, 1008, 1011, 1013
"""Why a socket is closed: the server ends or waited too long; a wrong request; a bug of the server;
try again later."""


async def follow(socket: WebSocket) -> None:
    """GET /v1/stream?head=NAME[&masks=rle]: follow one video with one head."""
    service: Service = socket.app.state.service
    await socket.accept()
    try:
        await go_on(socket, service)
    except WebSocketDisconnect:
        pass
    except TimeoutError:
        await refuse(socket, ENDED, f"no frame for {service.limits.idle:g} s")
    except PlainmaskError as error:
        code = FULL if isinstance(error, RefusedError) and error.status in (429, 503) else REFUSED
        await refuse(socket, code, str(error))
    except Exception:  # a bug of ours: its trace goes to the log, not to the client
        log.exception("a stream failed")
        await refuse(socket, FAILED, "the server failed at this message; its log has more")
    finally:
        service.streams.close(socket)


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
    following = service.streams.open(socket, service.heads([name]))
    while True:
        message = await asyncio.wait_for(socket.receive(), service.limits.idle)
        if message["type"] == "websocket.disconnect":
            return
        if message.get("bytes") is None:
            await change(socket, following, str(message.get("text", "")))
        else:
            await socket.send_json(await told(service, name, following, message["bytes"], masks))


async def told(
    service: Service, name: str, following: Following, content: bytes, masks: Masks
) -> dict[str, Any]:
    """The answer to a frame."""
    found = await service.follow(name, following, content)
    return await asyncio.to_thread(answer, found.result.keep(), masks) | found.notice


async def change(socket: WebSocket, following: Following, text: str) -> None:
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
            following.stream.reset()
        case {"state": True}:
            await socket.send_bytes(following.packed())
        case {"state": str(given)}:
            following.go_on_from(from_base64(given, "state"))
        case _:
            raise InputError(
                'a text message is {"reset": true}, {"state": true} or {"state": "<base64>"}; '
                "frames are sent as binary messages"
            )
