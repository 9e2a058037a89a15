"""The one family of errors that a user of Inkwash may see.

Every class derives from :class:`InkwashError`. Its message is one plain sentence that names what was wrong, the
value, what is allowed and how to fix it. The command line prints that sentence and exits with `exit_code`; a
server maps the same classes to status codes. A traceback therefore always means a bug of ours.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar


class InkwashError(Exception):
    """Base of all errors that are meant for the reader of the message, not for a debugger."""

    exit_code: ClassVar[int] = 1

    @property
    def message(self) -> str:
        """The sentence for the user, always on one line."""
        return " ".join(str(self).split())

    def __reduce__(self) -> tuple[Any, ...]:
        """Between processes as it is, whatever arguments a subclass is made with."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[InkwashError], args: tuple[Any, ...], fields: dict[str, Any]) -> InkwashError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


class ConfigError(InkwashError):
    """A setting or a configuration file is missing, of a wrong kind or out of range."""

    exit_code = 2


class NoMeaning(ConfigError, AttributeError):
    """An attribute of another library's objects that means nothing here; for Python it is not there."""


class WeightsError(InkwashError):
    """A checkpoint is unknown, incomplete, damaged, or does not belong to the network it was loaded into."""

    exit_code = 2


class MediaError(InkwashError):
    """A picture cannot be read, is of an unsupported kind or too large, or cannot be written."""

    exit_code = 2


class DataError(InkwashError):
    """Training data cannot be read or written: a caption is missing, a shard is damaged, a disk is full."""

    exit_code = 2


class MissingExtraError(InkwashError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    exit_code = 2

    def __init__(self, feature: str, *, extra: str) -> None:
        super().__init__(
            f"{feature} needs the optional extra {extra!r}: install it with pip install 'inkwash[{extra}]'."
        )
        self.extra = extra


def require_modules(feature: str, *modules: str, extra: str) -> None:
    """MissingExtraError unless all the modules that the extra brings are installed; imports none of them."""
    if any(find_spec(module) is None for module in modules):
        raise MissingExtraError(feature, extra=extra)


class Cancelled(InkwashError):
    """The work was stopped on request, between two tokens or two steps; nothing was written."""

    exit_code = 130

    def __init__(self, message: str = "Cancelled; nothing was written.") -> None:
        super().__init__(message)


class RequestError(InkwashError):
    """One field of a request is invalid; carries what an HTTP answer needs (status, code, name of the field)."""

    exit_code = 2

    def __init__(
        self, message: str, *, status: int = 400, code: str = "invalid_request", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
