"""A process that has torch loaded and becomes a rank whenever one is needed: a fork takes milliseconds, not seconds.

    python -m inkwash.engine.ranks.forkserver DESCRIPTOR    # started by `ForkServer`

It computes nothing and starts no threads, so that its copies are whole. A byte on its socket, with the socket of a new
rank beside it, asks for a fork; the answer is the new process's id. It ends when the first rank does.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection

from inkwash.core.errors import InkwashError

PARTS = ("inkwash.engine.ranks.text", "inkwash.engine.ranks.denoise")  # what ranks will need; they need this file
_PID = struct.Struct("<q")


class ForkServer:
    """The first rank's side; safe for several threads."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair()
        self._lock = threading.Lock()
        path = os.pathsep.join(path for path in sys.path if path)
        # a fork copies the calling thread alone, so libraries must not start any
        environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "inkwash.engine.ranks.forkserver", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the first rank
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def fork(self) -> tuple[int, Connection]:
        """A new process, which runs `follower.run`, and the socket to it."""
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._lock:
                socket.send_fds(self._link, [b"f"], [theirs.fileno()])
                answer = self._link.recv(_PID.size, socket.MSG_WAITALL)
            (pid,) = _PID.unpack(answer)
        except (OSError, struct.error):
            ours.close()
            raise InkwashError("The process that starts the ranks has ended; its last words are above.") from None
        return pid, Connection(ours.detach())

    def end(self) -> None:
        """End it; the ranks end by themselves."""
        with suppress(OSError):
            self._process.kill()
        with suppress(OSError):
            self._link.close()
        self._process.wait()


def main() -> None:
    """The process."""
    from inkwash.engine.ranks import follower  # torch from here on

    for part in PARTS:
        import_module(part)
    for number in (signal.SIGINT, signal.SIGTERM):  # the first rank decides
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a rank has ended
    warnings.simplefilter("ignore", DeprecationWarning)
    link = socket.socket(fileno=int(sys.argv[1]))
    while True:
        message, descriptors, *_ = socket.recv_fds(link, 1, 1)
        if not message:
            os._exit(0)
        pid = os.fork()
        if pid == 0:
            link.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            follower.run(descriptors[0])
        os.close(descriptors[0])
        link.sendall(_PID.pack(pid))


if __name__ == "__main__":
    main()
