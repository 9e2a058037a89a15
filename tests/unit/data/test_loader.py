"""What goes wrong in a loader's process reaches the one that trains as it was said."""

from __future__ import annotations

import pickle

import pytest

from inkwash.core import errors
from inkwash.core.errors import ConfigError, InkwashError, MissingExtraError, RequestError
from inkwash.data.loader import Batch, step_batches


def _fails_at_two(step: int) -> Batch:
    if step == 2:
        raise ConfigError("no card fits on 32 x 32: use a larger canvas")
    return {"step": step}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_that_fails_is_told_in_its_own_words(workers: int) -> None:
    batches = step_batches(_fails_at_two, first=0, total=4, workers=workers)
    assert [next(batches)["step"], next(batches)["step"]] == [0, 1]
    with pytest.raises(ConfigError, match=r"^no card fits on 32 x 32: use a larger canvas$"):
        next(batches)


def test_every_error_crosses_processes() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, InkwashError)]
    assert len(kinds) > 5
    made: list[InkwashError] = [MissingExtraError("Reading text", extra="ocr")]
    made += [RequestError("size is wrong", status=413, code="too_large", param="size")]
    made += [kind("a sentence") for kind in kinds if kind is not MissingExtraError]
    for error in made:
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is type(error) and back.message == error.message and vars(back) == vars(error)
