"""The outbox of a request: in order, one at a time, and no one is waited for."""

from __future__ import annotations

import threading

import pytest

from inkwash.engine.outbox import Outbox


def test_the_first_word_comes_first_and_the_next_speaker_says_the_rest() -> None:
    said: list[str] = []
    box = Outbox()
    box.post(lambda: said.append("early"))
    box.speak()
    assert said == [], "it is not open yet"
    box.open(lambda: said.append("first"))
    assert said == ["first"]
    box.post(lambda: said.append("late"))
    box.speak()
    assert said == ["first", "early", "late"]


def test_what_is_posted_from_inside_a_word_follows_it() -> None:
    said: list[str] = []
    box = Outbox()

    def word() -> None:
        box.post(lambda: said.append("inner"))
        box.speak()
        said.append("outer")

    box.open(lambda: None)
    box.post(word)
    box.speak()
    assert said == ["outer", "inner"]


def test_nobody_waits_for_who_is_speaking() -> None:
    box, said = Outbox(), []
    inside, go = threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        go.wait(60)
        said.append("slow")

    box.open(lambda: None)
    box.post(slow)
    speaker = threading.Thread(target=box.speak)
    speaker.start()
    assert inside.wait(60)
    box.post(lambda: said.append("next"))
    box.speak()
    assert said == []
    go.set()
    speaker.join(60)
    assert said == ["slow", "next"]


def test_an_interrupted_word_does_not_silence_the_box() -> None:
    said: list[str] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    box = Outbox()
    with pytest.raises(KeyboardInterrupt):
        box.open(interrupted)
    box.post(lambda: said.append("after"))
    box.speak()
    assert said == ["after"]
