"""On Ray the same shards are written, byte by byte, and errors arrive as one sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inkwash.core.errors import DataError
from inkwash.data.buckets import Buckets
from inkwash.data.encode import OpenedExample, encode, run_here
from inkwash.data.encode_ray import RayRunner
from inkwash.data.folder import Example

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("INKWASH_RAY_TESTS"), reason="starting Ray takes minutes: INKWASH_RAY_TESTS=1"
    ),
    pytest.mark.filterwarnings("ignore"),  # Ray's own warnings are not ours
]


class Red:
    """An encoder without networks; picture 9 is beyond it."""

    def __call__(self, pictures: Sequence[OpenedExample]) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
        found: list[tuple[dict[str, Any], dict[str, np.ndarray]]] = []
        for picture in pictures:
            red = np.asarray(picture.image)[0, 0, 0]
            if red == 9:
                raise DataError("picture 9 cannot be encoded")
            found.append(({"texts": []}, {"tokens": red.astype(np.int32)[None]}))
        return found


def examples(folder: Path, count: int) -> list[Example]:
    made = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.new("RGB", (64, 64), (number, 0, 0)).save(path)
        made.append(Example(prompt=f"picture {number}", image=path))
    return made


@pytest.mark.parametrize("way", ["data", "actors"])
def test_two_processes_write_what_one_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "data":
        pytest.importorskip("pyarrow")
    else:
        monkeypatch.setattr(RayRunner, "_on_data", RayRunner._on_actors)
    ray = pytest.importorskip("ray")
    # Workers do not know the folder of the tests.
    pytest.importorskip("ray.cloudpickle").register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    given = examples(tmp_path, 8)
    settings: dict[str, Any] = {"meta": {}, "buckets": Buckets(sides=(64,)), "per_shard": 2, "batch": 2}
    encode(given, tmp_path / "here", Red, runner=run_here, **settings)
    encode(given, tmp_path / "ray", Red, runner=RayRunner(workers=2), **settings)
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert len([name for name in names if name.endswith(".tar")]) == 4
    assert names == sorted(path.name for path in (tmp_path / "ray").iterdir())
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "ray" / name).read_bytes(), name
    with pytest.raises(DataError, match=r"^picture 9 cannot be encoded$"):
        encode(examples(tmp_path, 10), tmp_path / "wrong", Red, runner=RayRunner(workers=1), **settings)
    assert not ray.is_initialized(), "what was started is stopped"
