"""Nothing moves unseen: digests of pictures, answers, training steps, batches, help texts, the API and a stream.

A change that means to move one of them records it anew (`python -m tests.golden.measure GROUP ...`) and says so in its
commit. Digests of floating-point results are compared only on a kind of processor that has recorded them, with the same
version of torch; elsewhere those tests are skipped and everything else is compared all the same.
"""

from __future__ import annotations

import pytest

from tests.golden import measure


def _compare(before: measure.Digests, now: measure.Digests, group: str) -> None:
    names = sorted(before.keys() | now.keys())
    moved = [name for name in names if before.get(name) != now.get(name)]
    assert not moved, f"moved: {', '.join(moved)}; if that is meant: python -m tests.golden.measure {group}"


@pytest.mark.slow
@pytest.mark.parametrize("group", list(measure.EVERYWHERE))
def test_what_holds_everywhere(group: str) -> None:
    with measure.one_thread():
        _compare(measure.recorded()["everywhere"][group], measure.EVERYWHERE[group](), group)


@pytest.mark.slow
@pytest.mark.parametrize("group", list(measure.BY_PROCESSOR))
def test_what_depends_on_the_processor(group: str) -> None:
    before = measure.recorded()["processors"].get(measure.processor(), {})
    if group not in before:
        pytest.skip(f"{group} have not been recorded on {measure.processor()}")
    with measure.one_thread():
        _compare(before[group], measure.BY_PROCESSOR[group](), group)


def test_a_digest_tells_contents_apart() -> None:
    import numpy as np

    array = np.arange(6, dtype=np.uint8)
    values = [array, array.reshape(2, 3), array.astype(np.int16), array[::-1], {"a": array}, [array], "a", b"a", 1]
    assert len({measure.digest(value) for value in values}) == len(values)
