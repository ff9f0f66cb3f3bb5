"""A real MLflow server, for the tests of what goes through the network and of what its page shows."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Server:
    """A server on the SQLite store of a state folder, which can be killed and started again."""

    state: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.state}/mlflow.db"]
        command += ["--artifacts-destination", str(self.state / "artifacts")]
        log = (self.state / "server.log").open("wb")
        with log:  # a session of its own, so that its three processes end together
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        while not self.answers():
            assert self.process.poll() is None, (self.state / "server.log").read_text()
            time.sleep(0.2)

    def answers(self) -> bool:
        """Return whether it is up."""
        try:
            with urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def kill(self) -> None:
        """End all its processes at once, in the middle of what they do."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def serving(state: Path) -> Iterator[Server]:
    """Give a server that is up, and end it."""
    server = Server(state)
    try:
        server.start()
        yield server
    finally:
        server.kill()
