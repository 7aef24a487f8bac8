"""A server on a free port of this machine, for clients that need a real one."""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import uvicorn
from numpy.typing import NDArray
from starlette.types import ASGIApp

from plainmask.cli.serve import listen
from plainmask.inference.segmenter import Segmenter
from plainmask.serve.app import build_app
from plainmask.serve.passes import Passes
from plainmask.serve.service import Service
from tiny import tiny_encoder, tiny_head, tiny_video_head


def street_and_cells() -> Segmenter:
    """A panoptic and a semantic head on one tiny encoder."""
    encoder = tiny_encoder()
    heads = {"street": tiny_head("panoptic", encoder), "cells": tiny_head("semantic", encoder)}
    return Segmenter(encoder, heads, device="cpu")


def video_and_image() -> Segmenter:
    """A head that follows panoptic videos and a semantic one of pictures."""
    encoder = tiny_encoder()
    heads = {"video": tiny_video_head("panoptic", encoder), "image": tiny_head("semantic", encoder)}
    return Segmenter(encoder, heads, device="cpu")


def frame(seed: int) -> NDArray[np.uint8]:
    """Noise, (60, 80, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)


class Held:
    """An encoder that waits to be let go, so that pictures gather."""

    def __init__(self, passes: Passes):
        self.inner = passes.shared.computing_encoder
        self.go, self.begun = threading.Event(), threading.Event()
        self.batches: list[int] = []
        object.__setattr__(passes.shared, "computing_encoder", self)

    def __call__(self, pixels: Any, **options: Any) -> Any:
        self.begun.set()
        assert self.go.wait(30)
        self.batches.append(len(pixels))
        return self.inner(pixels, **options)


def served(segmenter: Segmenter, **options: Any) -> AbstractContextManager[str]:
    """Its heads over HTTP, at the address that this gives, such as 127.0.0.1:41234."""
    return served_by(Service.of(segmenter), **options)


def served_by(service: Service, **options: Any) -> AbstractContextManager[str]:
    """The same for a service that is there."""
    return running(build_app(service, **options))


@contextmanager
def running(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """The same for an application; at a port, 0 for a free one."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with listen("127.0.0.1", port) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
