"""Encoding: complete, resumable, the same shards every time; broken and tiny pictures are listed and left out."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inkwash.core.errors import DataError
from inkwash.data import encode as module
from inkwash.data.buckets import Buckets
from inkwash.data.encode import ExampleEncoder, OpenedExample, Outcome, encode, plan_jobs
from inkwash.data.folder import Example
from inkwash.data.shards import ShardSet

BUCKETS = Buckets(sides=(96,))


class Mean:
    """An encoder without networks: the mean colour is the code."""

    calls = 0

    def __call__(self, pictures: Sequence[OpenedExample]) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
        assert len({picture.image.size for picture in pictures}) == 1
        Mean.calls += len(pictures)
        return [
            ({"texts": []}, {"tokens": np.asarray(p.image).mean((0, 1)).round().astype(np.int32)}) for p in pictures
        ]


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    found = []
    for number in range(11):
        path = tmp_path / "in" / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (128, 64) if number % 3 == 0 else (96, 96), (number, 0, 0)).save(path)
        references = (path,) if number == 5 else ()
        found.append(Example(prompt=f"number {number}", image=path, references=references))
    return found


def run(examples: list[Example], out: Path, make: type[ExampleEncoder] | Any = Mean, **settings: Any) -> Outcome:
    chosen: dict[str, Any] = {"meta": {"codes": 1}, "buckets": BUCKETS, "per_shard": 3, "batch": 2} | settings
    return encode(examples, out, make, **chosen)


def numbers(out: Path) -> dict[str, list[int]]:
    shards = ShardSet(out)
    return {
        group: [
            int(shards.read(group, shard, i).arrays["tokens"][0])
            for shard, (_, count) in enumerate(members)
            for i in range(count)
        ]
        for group, members in shards.groups.items()
    }


def test_every_example_is_there_once(examples: list[Example], tmp_path: Path) -> None:
    outcome = run(examples, tmp_path / "out")
    assert outcome == Outcome(samples=11, shards=5, skipped=())
    found = numbers(tmp_path / "out")
    assert found == {"128x64": [0, 3, 6, 9], "96x96": [1, 2, 4, 7, 8, 10], "96x96-edit": [5]}
    facts = ShardSet(tmp_path / "out").read("96x96-edit", 0, 0).facts
    assert facts == {"prompt": "number 5", "file": "05.png", "texts": []}


def test_broken_and_tiny_pictures_are_listed_and_left_out(examples: list[Example], tmp_path: Path) -> None:
    examples[1].image.write_bytes(b"no picture")
    content = examples[2].image.read_bytes()
    examples[2].image.write_bytes(content[: len(content) - 30])  # the header is fine
    Image.new("RGB", (20, 20)).save(examples[3].image)
    examples[4].image.unlink()
    outcome = run(examples, tmp_path / "out", max_skipped=0.5)
    assert outcome.samples == 7 and len(outcome.skipped) == 4
    listed = [json.loads(line) for line in (tmp_path / "out" / "skipped.jsonl").read_text().splitlines()]
    assert sorted(Path(one["file"]).name for one in listed) == ["01.png", "02.png", "03.png", "04.png"]
    reasons = {Path(one["file"]).name: one["reason"] for one in listed}
    assert "too small: 20x20" in reasons["03.png"] and "damaged (image file is truncated)" in reasons["02.png"]
    left = [number for group in numbers(tmp_path / "out").values() for number in group]
    assert sorted(left) == [0, 5, 6, 7, 8, 9, 10]


def test_too_many_skipped_is_an_error_that_costs_no_work(examples: list[Example], tmp_path: Path) -> None:
    for example in examples[:3]:
        example.image.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"3 of 11 pictures were skipped.*skipped\.jsonl.*--max-skipped \(now 0\.1\)"):
        run(examples, tmp_path / "out")
    Mean.calls = 0
    assert run(examples, tmp_path / "out", max_skipped=0.3).samples == 8
    assert Mean.calls == 0, "nothing is encoded twice"


def test_an_interrupted_run_goes_on(examples: list[Example], tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(examples, whole)

    class Power(Mean):
        def __call__(self, pictures: Sequence[OpenedExample]) -> Any:
            if len(list(broken.glob("*.tar"))) == 2:
                raise KeyboardInterrupt
            return super().__call__(pictures)

    with pytest.raises(KeyboardInterrupt):
        run(examples, broken, Power)
    assert not (broken / "index.json").exists() and not list(broken.glob(".*partial"))
    Mean.calls = 0
    run(examples, broken)
    assert 0 < Mean.calls < 11
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in broken.iterdir())
    for name in names:
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name


def test_the_batch_size_changes_nothing(examples: list[Example], tmp_path: Path) -> None:
    for batch in (1, 5):
        run(examples, tmp_path / str(batch), batch=batch)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "5" / path.name).read_bytes()


def test_shards_of_different_work_are_never_mixed(examples: list[Example], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(examples, out)
    for change in ({"meta": {"codes": 2}}, {"per_shard": 4}, {"buckets": Buckets(sides=(128,))}):
        with pytest.raises(DataError, match="choose a new folder"):
            run(examples, out, **change)
    with pytest.raises(DataError, match="choose a new folder"):
        run(examples[1:], out)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    with pytest.raises(DataError, match=r"is not empty and holds no plan\.json"):
        run(examples, foreign)
    assert len(ShardSet(out)) == 11


def test_a_folder_that_cannot_be_written(examples: list[Example], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot be written"):
        run(examples, tmp_path / "file" / "out")


def test_the_plan_depends_on_nothing_but_the_examples(examples: list[Example], monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, skipped = plan_jobs(examples, BUCKETS, 2)
    monkeypatch.setattr(module, "READERS", 1)
    assert plan_jobs(examples, BUCKETS, 2) == (jobs, skipped)
    assert len({job.name for job in jobs}) == len(jobs)
    assert all(len(job.examples) <= 2 for job in jobs)
    assert os.path.basename(jobs[0].name) == jobs[0].name
