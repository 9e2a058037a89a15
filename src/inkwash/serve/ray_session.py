"""Our membership in a Ray cluster: one that is named, or one that is started on this machine and ends with us.

On Linux the processes of Ray are killed when the *thread* that started them ends, not only with its process. The
server loads its model in a thread that ends when it is loaded, so Ray gets a thread of its own that stays.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from inkwash.core.errors import ConfigError
from inkwash.core.text import one_line

if TYPE_CHECKING:
    from inkwash.serve.settings import ClusterSettings

CONNECT_S = 10.0
_PLACE = re.compile(r"([\w.-]+):(\d{1,5})")
STORE_BYTES = 2**28  # of a Ray that we start: pictures pass through it, nothing stays


class RaySession:
    """Connected from its making until `leave`."""

    def __init__(self, cluster: ClusterSettings) -> None:
        self.address = cluster.address or os.environ.get("RAY_ADDRESS")
        self._actors = cluster.actors
        self._left = threading.Event()
        joined: Future[None] = Future()
        threading.Thread(target=self._stay, args=(joined,), name="inkwash-ray-home", daemon=True).start()
        joined.result()

    @property
    def shared(self) -> bool:
        """Whether the cluster goes on without us."""
        return self.address is not None

    def leave(self) -> None:
        """Disconnect; a Ray that we started ends with all it holds."""
        import ray

        if ray.is_initialized():
            ray.shutdown()
        self._left.set()

    def _stay(self, joined: Future[None]) -> None:
        try:
            self._join()
        except BaseException as error:
            joined.set_exception(error)
            return
        joined.set_result(None)
        self._left.wait()

    def _join(self) -> None:
        import ray

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._check_reachable()
        try:
            if self.address is not None:
                ray.init(address=self.address, log_to_driver=False, configure_logging=False)
            else:
                ray.init(
                    num_cpus=max(os.cpu_count() or 1, self._actors),
                    include_dashboard=False,
                    log_to_driver=False,
                    configure_logging=False,
                    object_store_memory=STORE_BYTES,
                    _node_ip_address="127.0.0.1",
                )
        except Exception as error:  # Ray raises bare ones, for a slow start too
            reason = one_line(error, 200)
            raise ConfigError(f"The Ray cluster {self.address or 'on this machine'} cannot be used: {reason}") from None

    def _check_reachable(self) -> None:
        """Fail at once where nothing listens; Ray itself would try for minutes."""
        found = _PLACE.fullmatch(self.address or "")
        if found is None:
            return  # started here, or an address that is no place, such as auto
        try:
            socket.create_connection((found[1], int(found[2])), CONNECT_S).close()
        except OSError as error:
            raise ConfigError(
                f"There is no Ray cluster at {self.address} ({error.strerror or error}): start one with `ray start "
                "--head`, or leave --ray-address out."
            ) from None
