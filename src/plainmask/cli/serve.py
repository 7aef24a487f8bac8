"""`plainmask serve`: one process, one encoder, every head."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import Annotated

import typer

from plainmask.cli.options import Compile, Device, EncoderSource
from plainmask.errors import InputError
from plainmask.progress import counted

EXAMPLE = "Example:  plainmask serve scenes person-parts --port 8000"


def serve(
    heads: Annotated[
        list[str] | None,
        typer.Argument(
            help="Shipped heads, head folders or hub repositories.",
            show_default="all shipped heads",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0: from other machines, too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    encoder: EncoderSource = None,
    device: Device = "auto",
    compiled: Compile = False,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="PLAINMASK_TOKEN", help="Requests must bring it: Authorization: Bearer TOKEN."
        ),
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Web pages from there may ask; may be given again."),
    ] = None,
    heads_root: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Heads may be put from folders in there."),
    ] = None,
    body: Annotated[float, typer.Option(metavar="MB", help="Largest request.")] = 32.0,
    pixels: Annotated[float, typer.Option(metavar="MILLIONS", help="Largest picture.")] = 50.0,
    queue: Annotated[int, typer.Option(min=1, help="Pictures that may wait.")] = 64,
    seconds: Annotated[float, typer.Option(help="Longest wait for an answer.")] = 60.0,
    streams: Annotated[int, typer.Option(min=0, help="Videos that are followed at a time.")] = 16,
    cache: Annotated[
        float, typer.Option(metavar="MB", help="Features of the last pictures; 0: none.")
    ] = 256.0,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Log faults only, not each request.")
    ] = False,
) -> None:
    """Serve heads over HTTP.

    Pictures of all clients share passes of the encoder, whatever head they are for. Requests are
    logged to stderr, a JSON object a line. Ctrl-C and SIGTERM answer what waits, and end.
    """
    try:
        import uvicorn

        from plainmask.serve.app import build_app
    except ImportError as error:
        raise InputError(
            f"serve needs the package {error.name}; pip install 'plainmask[serve]'"
        ) from error
    from PIL import Image

    from plainmask.allocator import keep_freed_memory
    from plainmask.cli.console import complain
    from plainmask.heads.head import shipped_heads
    from plainmask.inference.loading import load_heads
    from plainmask.serve.limits import Limits
    from plainmask.serve.logs import log_to_stderr
    from plainmask.serve.service import Service

    if heads_root is not None and not heads_root.is_dir():
        raise InputError(f"--heads-root {heads_root} is no folder; make it, or name another")
    keep_freed_memory()
    shipped = sorted(shipped_heads(), key=lambda name: name != "scenes")  # the default is first
    names = heads or shipped
    segmenter = load_heads(names, device=device, compile=compiled, encoder=encoder)
    segmenter(Image.new("RGB", (64, 64)))  # the first pass takes longer: not the first client's
    limits = Limits(body, pixels, queue, seconds, streams=streams, cache_megabytes=cache)
    service = Service.of(segmenter, limits)
    app = build_app(service, token=token, origins=origin or (), heads_root=heads_root)
    listening_to = uvicorn.Config(
        app, log_config=None, server_header=False, ws_max_size=int(1e6 * body)
    )
    server = uvicorn.Server(listening_to)
    log_to_stderr(logging.WARNING if quiet else logging.INFO)
    listening = listen(host, port)
    where = f"http://{host}:{listening.getsockname()[1]}"
    first = next(iter(segmenter.heads))
    secret = "" if token is None else f" -H 'Authorization: Bearer {token}'"
    print(
        f"{counted(len(segmenter.heads), 'head')} on {segmenter.encoder.name}, "
        f"{segmenter.device}: {', '.join(segmenter.heads)}\n"
        f"{where}  (Ctrl-C ends)\n"
        f"curl{secret} --data-binary @photo.jpg '{where}/v1/segment?heads={first}&masks=none'",
        flush=True,
    )
    if host not in ("127.0.0.1", "localhost", "::1") and token is None:
        complain("warning", "other machines can ask this server; --token keeps strangers out")
    server.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections.

    Raises:
        InputError: there is no such address, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"port {port} of {host} cannot be used: {error.strerror}; --port takes another"
        ) from error
