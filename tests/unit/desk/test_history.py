"""Kept conversations: written, found in any language, renamed, deleted and brought back, exported; media once each."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inkwash.core.errors import RequestError
from inkwash.desk.history import History, Message, dumps, markdown


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path / "desk")
    yield made
    made.close()


def talk(history: History, title: str, *texts: str) -> int:
    number = history.begin(title)
    for place, text in enumerate(texts):
        history.add(number, Message(role=("user", "assistant")[place % 2], text=text))
    return number


def test_a_conversation_comes_back_as_it_was(history: History, tmp_path: Path) -> None:
    picture, same = history.keep(b"pixels", "a.png"), history.keep(b"pixels", "b.png")
    assert picture.digest == same.digest and history.file(picture.digest).read_bytes() == b"pixels"
    number = history.begin("  What   is\nthis? " + "x" * 100)
    first = Message(role="user", text="What is this?", media=(picture, same))
    history.add(number, first)
    history.add(number, Message(role="assistant", text="A dot.", thoughts="It is small."))
    history.close()
    again = History(tmp_path / "desk")
    found = again.messages(number)
    assert [(one.role, one.text, one.thoughts, one.media) for one in found] == [
        ("user", "What is this?", "", (picture, same)),
        ("assistant", "A dot.", "It is small.", ()),
    ]
    [listed] = again.recent()
    assert listed.title.startswith("What is this? xxx") and len(listed.title) == 80 and listed.title.endswith("…")
    again.cut(number, found[1].id)
    assert [one.text for one in again.messages(number)] == ["What is this?"] and not again.search("dot")
    again.close()
    again._data = sqlite3.connect(":memory:")  # closed by the fixture
    history._data = sqlite3.connect(tmp_path / "desk" / "history.sqlite", isolation_level=None)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("receipt", {"Shop"}),
        ("RECEIPT total", {"Shop"}),
        ("ceip", {"Shop"}),  # a part of a word
        ("发票金额", {"发票"}),
        ("金额", {"发票"}),  # two characters are shorter than the index's parts
        ("total 12", {"Shop"}),
        ("Straße", {"Reise"}),
        ("Shop", {"Shop"}),  # the title
        ('"quoted" OR', set()),
        ("100%", {"Reise"}),
        ("1_0%", set()),
        ("nothing", set()),
        ("", {"Shop", "发票", "Reise"}),
    ],
)
def test_search_finds_words_in_any_language(history: History, words: str, found: set[str]) -> None:
    talk(history, "Shop", "Read the receipt", "The total is 12.50.")
    talk(history, "Shop again, deleted", "receipt")
    history.delete(history.recent()[0].id)
    talk(history, "发票", "这张发票金额是多少?")
    talk(history, "Reise", "Die Straße bleibt 100% frei")
    # both words stand in one turn; "RECEIPT total" stand in two
    expected = found if words != "RECEIPT total" else set()
    assert {one.title for one in history.search(words)} == expected


def test_an_excerpt_shows_where(history: History) -> None:
    talk(history, "Long", "a " * 100 + "needle in\nthe hay " + "b " * 100)
    [one] = history.search("needle")
    assert "needle in the hay" in one.excerpt and one.excerpt[0] == one.excerpt[-1] == "…" and len(one.excerpt) < 100


def test_rename_delete_undelete_and_keep(history: History) -> None:
    numbers = [talk(history, f"Talk {place}", f"text {place}") for place in range(5)]
    history.rename(numbers[0], "First")
    history.delete(numbers[1])
    assert {one.title for one in history.recent()} == {"First", "Talk 2", "Talk 3", "Talk 4"}
    with pytest.raises(RequestError, match="no conversation"):
        history.messages(numbers[1])
    history.undelete(numbers[1])
    assert [one.text for one in history.messages(numbers[1])] == ["text 1"]
    assert history.keep_newest(2) == 3 and [one.title for one in history.recent()] == ["Talk 4", "Talk 3"]
    for call in (lambda: history.rename(numbers[4], " "), lambda: history.delete(99), lambda: history.file("../x")):
        with pytest.raises(RequestError):
            call()


def test_deleted_ones_go_in_the_end_and_their_files_with_them(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, lost = history.keep(b"kept", "a.png"), history.keep(b"lost", "b.png")
    history.add(history.begin("kept"), Message(role="user", text="a", media=(kept,)))
    number = history.begin("lost")
    history.add(number, Message(role="user", text="b", media=(lost,)))
    history.delete(number)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * 24 * 3600)
    with history._change() as data:
        data.execute("DELETE FROM conversations WHERE deleted < ?", (time.time() - 24 * 3600,))
    assert history.sweep() == 1
    assert history.file(kept.digest).exists() and not history.file(lost.digest).exists()


def test_export_is_markdown_or_json(history: History) -> None:
    number = history.begin("Exported")
    history.add(number, Message(role="user", text="Look", media=(history.keep(b"x", "shot.png"),)))
    history.add(number, Message(role="assistant", text="Seen", thoughts="hm"))
    found = history.export(number)
    assert found["messages"][1] == {"role": "assistant", "text": "Seen", "thoughts": "hm"}
    assert Path(found["messages"][0]["media"][0]["file"]).read_bytes() == b"x"
    assert markdown(found).startswith("# Exported\n\n**user**\n\n- shot.png: ") and '"Seen"' in dumps(found)


def test_ten_thousand_messages_are_listed_and_searched_at_once(history: History) -> None:
    with history._change() as data:
        data.executemany(
            "INSERT INTO conversations(id, title, created, updated) VALUES (?, ?, 0, ?)",
            [(number, f"Talk {number}", number) for number in range(1, 501)],
        )
        data.executemany(
            "INSERT INTO messages(conversation, role, text, thoughts, created) VALUES (?, 'user', ?, '', 0)",
            [(number % 500 + 1, f"message {number} about subject {number % 97}") for number in range(10_000)],
        )
    began = time.process_time()
    assert len(history.recent()) == 100
    listed = time.process_time() - began
    began = time.process_time()
    assert history.search("message 7777")[0].title == "Talk 278"
    assert listed < 0.1 and time.process_time() - began < 0.3


def test_many_threads_write_at_once(history: History) -> None:
    number = history.begin("Busy")

    def write() -> None:
        for _ in range(20):
            history.add(number, Message(role="user", text="x"))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history.messages(number)) == 80


def test_a_newer_history_is_not_touched(tmp_path: Path) -> None:
    folder = tmp_path / "newer"
    History(folder).close()
    data = sqlite3.connect(folder / "history.sqlite")
    data.execute("PRAGMA user_version=99")
    data.commit()
    data.close()
    with pytest.raises(RequestError, match="newer edition"):
        History(folder)


def test_only_names_of_hashes_are_files(history: History) -> None:
    for name in ("", "a" * 32 + "/../../x", "A" * 32, "a" * 31, "a" * 32 + ".p/ng"):
        with pytest.raises(RequestError, match="no kept file"):
            history.file(name)
    assert os.path.basename(history.file("a" * 32 + ".png")) == "a" * 32 + ".png"
