"""A server on a free port of this machine, for clients that need a real one."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from plainmask.cli.serve import listen
from plainmask.inference.segmenter import Segmenter
from plainmask.serve.app import build_app
from plainmask.serve.service import Service
from tiny import tiny_encoder, tiny_head


def street_and_cells() -> Segmenter:
    """A panoptic and a semantic head on one tiny encoder."""
    encoder = tiny_encoder()
    heads = {"street": tiny_head("panoptic", encoder), "cells": tiny_head("semantic", encoder)}
    return Segmenter(encoder, heads, device="cpu")


@contextmanager
def served(segmenter: Segmenter, **options: Any) -> Iterator[str]:
    """Its heads over HTTP, at the address that this gives, such as 127.0.0.1:41234."""
    app = build_app(Service.of(segmenter), **options)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with listen("127.0.0.1", 0) as listening:
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
