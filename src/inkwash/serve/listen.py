"""The address that a server listens at, taken before anything heavy is loaded."""

from __future__ import annotations

import errno
import socket

from inkwash.core.errors import ConfigError

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; raises ConfigError in one sentence, before anything is loaded."""
    bound: socket.socket | None = None
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)  # at once: two that are only bound may share a port, and one would get no request
    except OSError as error:
        if bound is not None:
            bound.close()
        reasons = {
            errno.EADDRINUSE: "another program listens there: stop it, or choose another --port",
            errno.EACCES: "ports below 1024 need more rights: choose another --port",
            errno.EADDRNOTAVAIL: "this machine has no such address: choose another --host",
        }
        reason = reasons.get(error.errno or 0, "check --host and --port")
        raise ConfigError(f"The address {host}:{port} cannot be used: {reason}.") from None
    bound.set_inheritable(True)
    return bound
