"""A rank beside the first one: a process that loads its share, then does what the first rank tells it.

Commands come over a socket and name a method of a part (`text.py`, `denoise.py`); the numbers they are about come
by collectives. Whatever fails ends the process: the first rank notices, answers what it was working for, and starts
the group again. It ends with the first rank, too, whatever it is waiting for then.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from inkwash.core import env
from inkwash.core.errors import InkwashError
from inkwash.engine.ranks.collectives import HOST, connector, device_of
from inkwash.engine.ranks.commands import FollowerStart, LoadPart, RunMethod, connected, receive

log = logging.getLogger(__name__)

WATCH_S = 1.0


def follow(link: Connection) -> None:
    """Do what comes until the first rank closes the socket."""
    start: FollowerStart = receive(link)
    device = device_of(torch.device(start.device), start.rank)
    torch.set_num_threads(start.threads)
    if device.type != "cpu":
        torch.accelerator.set_device_index(device.index)
    connect = connector(dist.TCPStore(HOST, start.port, is_master=False), start.rank, device)
    link.send_bytes(pickle.dumps(None))
    parts: dict[str, Any] = {}
    while True:
        command = receive(link)
        if isinstance(command, LoadPart):
            try:
                groups = connected(command.spec, command.key, connect, start.rank, start.world)
                with torch.inference_mode(False):
                    parts[command.key] = command.spec.build_follower(groups)
            except InkwashError as error:
                link.send_bytes(pickle.dumps(error.message))
                raise
            except Exception as error:
                link.send_bytes(pickle.dumps(f"{type(error).__name__}: {error}"))
                raise
            link.send_bytes(pickle.dumps(None))
        else:
            assert isinstance(command, RunMethod)
            with torch.no_grad():
                getattr(parts[command.key], command.method)(*command.arguments)


def run(descriptor: int) -> NoReturn:
    """The whole life of a process that `forkserver.py` has made."""
    env.configure_logging()
    _end_with_parent()
    code = 0
    try:
        follow(Connection(descriptor))
    except (EOFError, ConnectionError):  # the first rank has gone or needs us no more
        pass
    except BaseException as error:
        log.error("a rank of the group ends: %s", error, exc_info=env.debug())
        code = 1
    sys.stderr.flush()
    os._exit(code)  # threads of libraries may wait for a rank that is gone


def _end_with_parent() -> None:
    """End when the first rank does, and so the process that forked this one, also while a collective waits."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            threading.Event().wait(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="inkwash-parent", daemon=True).start()
