"""The callbacks of a request: in order, one at a time, and no one is waited for."""

from __future__ import annotations

import threading

import pytest

from inkwash.engine.callbacks import OrderedCallbacks


def test_the_first_word_comes_first_and_the_next_speaker_says_the_rest() -> None:
    said: list[str] = []
    box = OrderedCallbacks()
    box.put(lambda: said.append("early"))
    box.flush()
    assert said == [], "it is not open yet"
    box.open(lambda: said.append("first"))
    assert said == ["first"]
    box.put(lambda: said.append("late"))
    box.flush()
    assert said == ["first", "early", "late"]


def test_what_is_posted_from_inside_a_word_follows_it() -> None:
    said: list[str] = []
    box = OrderedCallbacks()

    def callback() -> None:
        box.put(lambda: said.append("inner"))
        box.flush()
        said.append("outer")

    box.open(lambda: None)
    box.put(callback)
    box.flush()
    assert said == ["outer", "inner"]


def test_nobody_waits_for_who_is_speaking() -> None:
    box, said = OrderedCallbacks(), []
    inside, go = threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        go.wait(60)
        said.append("slow")

    box.open(lambda: None)
    box.put(slow)
    speaker = threading.Thread(target=box.flush)
    speaker.start()
    assert inside.wait(60)
    box.put(lambda: said.append("next"))
    box.flush()
    assert said == []
    go.set()
    speaker.join(60)
    assert said == ["slow", "next"]


def test_an_interrupted_word_does_not_silence_the_box() -> None:
    said: list[str] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    box = OrderedCallbacks()
    with pytest.raises(KeyboardInterrupt):
        box.open(interrupted)
    box.put(lambda: said.append("after"))
    box.flush()
    assert said == ["after"]
