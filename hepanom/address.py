"""Where runs are recorded: the addresses of tracking stores, and one message for what goes wrong there."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from hepanom.errors import HepanomError, InputError

SERVERS = ("http", "https", "databricks", "databricks-uc")
ANSWER = 10.0  # seconds that a server gets to take a connection


def default_uri(state: Path = Path("mlruns")) -> str:
    """Return the address of the SQLite store in a state folder."""
    return f"sqlite:///{state.resolve()}/mlflow.db"


def resolved(uri: str | None) -> str:
    """Return the address that the user means: ``mlruns`` here for None, the SQLite store in a folder for its path.

    Raises InputError for a file store, which MLflow has given up.
    """
    if uri is None:
        return default_uri()
    if uri.startswith("file:"):
        raise InputError(f"{uri}: MLflow's file store is no more; give the folder's path or sqlite:///FOLDER/mlflow.db")
    return uri if "://" in uri or uri in SERVERS else default_uri(Path(uri))


def existing(uri: str | None) -> str:
    """Return the same where something was recorded there already; asking does not make a new store.

    Raises InputError for a folder without an SQLite store; whether other stores are there, they say themselves.
    """
    place = resolved(uri)
    folder = state_folder(place)
    if folder is not None and not Path(place.partition(":///")[2].partition("?")[0]).is_file():
        raise InputError(
            f"{folder}: nothing was recorded there; go to the folder from which hepanom ran, or name its mlruns by "
            "--tracking"
        )
    return place


def shown(uri: str) -> str:
    """Return an address, or a text that holds one, as a message may show it: without user and password."""
    return re.sub(r"//[^/\s]*@", "//***@", uri)


def state_folder(uri: str) -> Path | None:
    """Return the folder of an SQLite store, None for any other."""
    scheme, _, path = uri.partition(":///")
    return Path(path.partition("?")[0]).resolve().parent if scheme.partition("+")[0] == "sqlite" else None


def is_server(uri: str) -> bool:
    """Return whether a server answers there, which knows itself where artifacts go."""
    return uri in SERVERS or urlsplit(uri).scheme in SERVERS


def local_folder(uri: str) -> Path | None:
    """Return the folder that an artifact address means on this machine, None for any other place."""
    parts = urlsplit(uri)
    if parts.scheme not in {"", "file"}:
        return None
    return Path(url2pathname(parts.path) if parts.scheme else uri).resolve()


def knock(uri: str) -> None:
    """Raise OSError where no server listens: MLflow's own retries would take minutes to find that out."""
    parts = urlsplit(uri)
    if parts.scheme in {"http", "https"}:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=ANSWER).close()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a state folder, which is made where it is new."""
    import fcntl  # not on Windows, where a server does the locking

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".mlflow.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Turn what a store, its database and the network raise into one HepanomError that names the address."""
    try:
        yield
    except HepanomError:
        raise
    except Exception as error:
        theirs = type(error).__module__.startswith(("mlflow", "sqlalchemy"))
        if not theirs and not isinstance(error, (OSError, ImportError)):
            raise
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise HepanomError(
            f"{shown(uri)}: the tracking store failed: {shown(first)}; is the address right, the server up, the disk "
            "writable? Another --tracking URI may do"
        ) from error
