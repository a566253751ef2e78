"""Whether a process of this machine still lives, for those who wait for something that it held."""

import os
from contextlib import suppress


def this_process() -> str:
    """A name that no other process of this machine has, or will have before it is started anew."""
    pid = os.getpid()
    return f"{_namespace()}:{pid}:{_started(pid)}"


def is_dead(process: str) -> bool:
    """Whether the process of this name has certainly ended; False: it lives, or nobody here can know."""
    match process.split(":"):
        case [namespace, pid, started] if namespace == _namespace() and pid.isdecimal():
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                return True
            except (OSError, OverflowError):
                return False  # another user's: it lives
            now = _started(int(pid))
            return "" not in (now, started) and now != started  # its number is another's now
    return False  # of another container: its number says nothing here


def _namespace() -> str:
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid").replace(":", "")
    return ""


def _started(pid: int) -> str:
    """When it was started, in ticks; empty where there is no /proc."""
    with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
        # The name of the program comes second, in parentheses, and may contain anything.
        return file.read().rpartition(b")")[2].split()[19].decode()
    return ""
