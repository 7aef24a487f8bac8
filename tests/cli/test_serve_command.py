"""The server as a command: the line that it prints works as printed, and SIGTERM ends it."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys

import pytest

from commands import Run, Workspace


def arguments(work: Workspace) -> list[str]:
    return [str(work.head), "--encoder", str(work.encoder), "--device", "cpu"]


@pytest.mark.slow
def test_what_it_prints_works_and_sigterm_ends_it(work: Workspace):
    work.picture("photo.jpg")
    command = [sys.executable, "-m", "plainmask", "serve", *arguments(work), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(3)]
        assert "1 head on" in lines[0]
        answer = subprocess.run(
            shlex.split(lines[2]), cwd=work.folder, capture_output=True, text=True, timeout=60
        )
        assert '"kind":"semantic"' in answer.stdout
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=60)
    assert server.returncode in (0, 143, -signal.SIGTERM)
    assert "Traceback" not in said


def test_a_port_that_is_taken(work: Workspace, run: Run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = run("serve", *arguments(work), "--port", str(port))
    assert found.code == 2
    assert re.search(rf"port {port} of 127.0.0.1 cannot be used", found.err)


def test_a_root_for_heads_that_is_no_folder(work: Workspace, run: Run):
    found = run("serve", *arguments(work), "--port", 0, "--heads-root", "none")
    assert found.code == 2
    assert found.err == "error: --heads-root none is no folder; make it, or name another\n"
