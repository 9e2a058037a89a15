"""Every error of ours is one sentence with an exit code."""

from __future__ import annotations

import pytest

from inkwash.core import errors
from inkwash.core.errors import Cancelled, InkwashError, MissingExtraError, RequestError


@pytest.mark.parametrize(
    "kind", [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
)
def test_the_family_has_one_base_and_known_exit_codes(kind: type[InkwashError]) -> None:
    assert issubclass(kind, InkwashError)
    assert kind.exit_code in (1, 2, 130)


def test_messages_are_one_line() -> None:
    assert InkwashError("two\n  lines").message == "two lines"


def test_request_errors_carry_what_http_needs() -> None:
    error = RequestError("no", status=413, code="too_large", param="image")
    assert (error.status, error.code, error.param, error.exit_code) == (413, "too_large", "image", 2)
    assert RequestError("no").status == 400


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError("Reading pictures", extra="ocr")
    assert "pip install 'inkwash[ocr]'" in error.message and error.exit_code == 2


def test_cancelled_ends_with_the_code_of_an_interrupt() -> None:
    assert Cancelled().exit_code == 130 and Cancelled().message
