"""Numbers carry their judge; two judges never stand in one table."""

from __future__ import annotations

import math

import pytest

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks.measures import Measure, Table
from inkwash.eval.benchmarks.page import published_table
from inkwash.eval.benchmarks.registry import BENCHMARKS


def measure(value: float, judge: str = "en_ppocrv4", name: str = "cvtg2k.ned") -> Measure:
    return Measure(name=name, judge=judge, value=value)


def test_a_label_names_the_judge() -> None:
    assert measure(0.5).label == "cvtg2k.ned[en_ppocrv4]"
    assert measure(math.nan).to_dict() == {"name": "cvtg2k.ned", "judge": "en_ppocrv4", "value": None}
    with pytest.raises(ConfigError, match="a judge"):
        measure(0.5, judge="")


def test_two_judges_never_mix() -> None:
    table = Table()
    table.add("ours", [measure(0.9), measure(0.8, "qwen2.5-vl-7b", "longtext-en.text_score")])
    with pytest.raises(ConfigError, match=r"ppocrv6-small.*ours from en_ppocrv4"):
        table.add("theirs", [measure(0.1, "qwen2.5-vl-7b", "longtext-en.text_score"), measure(0.7, "ppocrv6-small")])
    assert list(table.rows()) == ["ours"], "nothing of a refused system is kept"
    table.add("theirs", [measure(0.7)])
    assert table.rows()["theirs"] == {
        "cvtg2k.ned[en_ppocrv4]": 0.7,
        "longtext-en.text_score[qwen2.5-vl-7b]": None,
    }
    with pytest.raises(ConfigError, match="twice"):
        table.add("theirs", [measure(0.6)])


def test_one_system_cannot_bring_two_judges_for_one_metric() -> None:
    with pytest.raises(ConfigError):
        Table().add("ours", [measure(0.9), measure(0.9, "ppocrv6-small")])


def test_published_rows_stand_in_one_table_and_ours_only_with_the_same_judge() -> None:
    table = published_table(BENCHMARKS["cvtg2k"])
    assert len(table.rows()) == 9
    assert table.rows()["GLM-Image"]["cvtg2k.word_accuracy[en_ppocrv4]"] == 0.9116
    with pytest.raises(ConfigError, match="two judges"):
        table.add("nano", [measure(0.3, "ppocrv6-small", "cvtg2k.word_accuracy")])


def test_every_published_model_has_a_number_and_every_column_a_model() -> None:
    known = {task: each.published for task, each in BENCHMARKS.items() if each.published}
    assert len({model for published in known.values() for model in published.rows}) >= 16
    for task, published in known.items():
        numbers = published.measures(task)
        assert all(numbers.values()), f"{task} has a model without a number"
        seen = {measure.metric for measures in numbers.values() for measure in measures}
        assert seen == set(published.judges)
    assert known["longtext-en"].measures("longtext-en")["GLM-Image"][0].value == 0.952
