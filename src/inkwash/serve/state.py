"""The state folder of a server: its signing secret, and the promise that only one server uses it."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO

from inkwash.core.errors import ConfigError


class StateFolder:
    """A folder of one server at a time; `release` gives it back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock: IO[bytes] = open(path / "lock", "ab")  # noqa: SIM115 - held until release
        except OSError as error:
            raise _unusable(path, error.strerror or type(error).__name__) from None
        try:
            _lock(self._lock)
        except OSError:
            self._lock.close()
            raise _unusable(path, "another server uses it") from None

    def secret(self) -> bytes:
        """The server's secret, made on first use and readable by its owner only."""
        path = self.path / "secret"
        try:
            with (
                suppress(FileExistsError),
                os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
            ):
                file.write(secrets.token_bytes(32))
            secret = path.read_bytes()
        except OSError as error:
            raise _unusable(self.path, error.strerror or type(error).__name__) from None
        if len(secret) < 32:
            raise ConfigError(
                f"The secret in {str(path)!r} is cut short: delete the file, handles made with it are lost."
            )
        return secret

    def release(self) -> None:
        """Let another server have it."""
        self._lock.close()


def _lock(file: IO[bytes]) -> None:
    """An advisory lock that ends with the process; systems without one go without."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unusable(path: Path, reason: str) -> ConfigError:
    return ConfigError(f"The state folder {str(path)!r} cannot be used ({reason}): choose another with --state.")
