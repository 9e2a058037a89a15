"""Conversations that are kept: one SQLite file with full-text search, and attached files named by their hash.

    history = History(folder)
    talk = history.begin("A question")
    history.add(talk, Message(role="user", text="What is this?", media=(history.keep(png, "shot.png"),)))
    history.search("this")

Deleted conversations stay for a while, so that a deletion can be taken back. Keys of endpoints are never here.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkwash.core.errors import RequestError
from inkwash.core.files import atomic_write

_MIGRATIONS = (  # never changed once released: a newer edition appends one
    """
    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY, title TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, deleted REAL
    );
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
        role TEXT NOT NULL, text TEXT NOT NULL, thoughts TEXT NOT NULL, created REAL NOT NULL
    );
    CREATE INDEX messages_of ON messages(conversation, id);
    CREATE TABLE media (
        message INTEGER NOT NULL REFERENCES messages(id) ON DELETE CASCADE, place INTEGER NOT NULL,
        digest TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (message, place)
    );
    CREATE VIRTUAL TABLE found USING fts5(text, content='messages', content_rowid='id', tokenize='trigram');
    CREATE TRIGGER messages_added AFTER INSERT ON messages BEGIN
        INSERT INTO found(rowid, text) VALUES (new.id, new.text);
    END;
    CREATE TRIGGER messages_gone AFTER DELETE ON messages BEGIN
        INSERT INTO found(found, rowid, text) VALUES ('delete', old.id, old.text);
    END;
    """,
)
UNDO_S = 24 * 3600.0
MAX_TITLE = 80
_GRAMS = 3  # shorter words than this are looked for letter by letter


@dataclass(frozen=True, kw_only=True)
class Medium:
    """A kept file: what it was called, and the hash of its bytes, which names it on disk."""

    digest: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn."""

    role: str
    text: str
    thoughts: str = ""
    media: tuple[Medium, ...] = ()
    id: int = 0


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A line of the list; `excerpt` shows where a search found its words."""

    id: int
    title: str
    updated: float
    excerpt: str = ""


class History:
    """The store; any thread may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "media").mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._data = sqlite3.connect(folder / "history.sqlite", check_same_thread=False, isolation_level=None)
        self._data.executescript("PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; PRAGMA synchronous=NORMAL;")
        self._migrate()

    def close(self) -> None:
        """Forget what was deleted long ago, and close the file."""
        try:
            with self._change() as data:
                data.execute("DELETE FROM conversations WHERE deleted < ?", (time.time() - UNDO_S,))
            self.sweep()
        finally:
            with self._lock:
                self._data.close()

    def begin(self, title: str) -> int:
        """A new conversation; returns its number."""
        now = time.time()
        with self._change() as data:
            made = data.execute(
                "INSERT INTO conversations(title, created, updated) VALUES (?, ?, ?)", (_title(title), now, now)
            )
            return int(made.lastrowid or 0)

    def add(self, conversation: int, message: Message) -> int:
        """A turn at the end of a conversation; returns its number."""
        now = time.time()
        with self._change() as data:
            self._known(conversation)
            made = data.execute(
                "INSERT INTO messages(conversation, role, text, thoughts, created) VALUES (?, ?, ?, ?, ?)",
                (conversation, message.role, message.text, message.thoughts, now),
            )
            number = int(made.lastrowid or 0)
            rows = [(number, place, one.digest, one.name) for place, one in enumerate(message.media)]
            data.executemany("INSERT INTO media VALUES (?, ?, ?, ?)", rows)
            data.execute("UPDATE conversations SET updated = ? WHERE id = ?", (now, conversation))
            return number

    def messages(self, conversation: int) -> list[Message]:
        """All turns of a conversation."""
        with self._lock:
            self._known(conversation)
            rows = self._data.execute(
                "SELECT id, role, text, thoughts FROM messages WHERE conversation = ? ORDER BY id", (conversation,)
            ).fetchall()
            media: dict[int, list[Medium]] = {}
            for number, digest, name in self._data.execute(
                "SELECT message, digest, name FROM media JOIN messages ON messages.id = message "
                "WHERE conversation = ? ORDER BY message, place",
                (conversation,),
            ):
                media.setdefault(number, []).append(Medium(digest=digest, name=name))
        return [
            Message(id=number, role=role, text=text, thoughts=thoughts, media=tuple(media.get(number, ())))
            for number, role, text, thoughts in rows
        ]

    def cut(self, conversation: int, message: int) -> None:
        """Forget a turn and those after it: before it is written anew."""
        with self._change() as data:
            data.execute("DELETE FROM messages WHERE conversation = ? AND id >= ?", (conversation, message))

    def recent(self, limit: int = 100) -> list[Conversation]:
        """Conversations, the one talked in last first."""
        with self._lock:
            rows = self._data.execute(
                "SELECT id, title, updated FROM conversations WHERE deleted IS NULL "
                "ORDER BY updated DESC, id DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [Conversation(id=number, title=title, updated=updated) for number, title, updated in rows]

    def search(self, words: str, limit: int = 50) -> list[Conversation]:
        """Conversations in which every word is in one turn (or in the title), in any language; parts of words count."""
        parts = words.split()
        if not parts:
            return self.recent(limit)
        long = [part for part in parts if len(part) >= _GRAMS]
        where, values = [], []
        if long:
            where.append("messages.id IN (SELECT rowid FROM found WHERE found MATCH ?)")
            values.append(" AND ".join('"' + part.replace('"', '""') + '"' for part in long))
        for part in parts if not long else [part for part in parts if len(part) < _GRAMS]:
            where.append("messages.text LIKE ? ESCAPE '\\'")
            values.append(_like(part))
        titled = " AND ".join("title LIKE ? ESCAPE '\\'" for _ in parts)
        with self._lock:
            rows = self._data.execute(
                f"""
                SELECT conversations.id, title, updated, max(messages.text) FROM messages
                JOIN conversations ON conversations.id = conversation WHERE deleted IS NULL AND {" AND ".join(where)}
                GROUP BY conversations.id
                UNION SELECT id, title, updated, title FROM conversations WHERE deleted IS NULL AND {titled}
                ORDER BY updated DESC LIMIT ?
                """,
                (*values, *map(_like, parts), limit * 2),
            ).fetchall()
        found: dict[int, Conversation] = {}
        for number, title, updated, text in rows:
            excerpt = _excerpt(text, parts[0])
            found.setdefault(number, Conversation(id=number, title=title, updated=updated, excerpt=excerpt))
        return list(found.values())[:limit]

    def rename(self, conversation: int, title: str) -> None:
        """Give it another title."""
        if not title.strip():
            raise RequestError("The title is empty: give the conversation a name.", param="title")
        with self._change() as data:
            self._known(conversation)
            data.execute("UPDATE conversations SET title = ? WHERE id = ?", (_title(title), conversation))

    def delete(self, conversation: int) -> None:
        """Take it off the list; `undelete` brings it back for a day."""
        with self._change() as data:
            self._known(conversation)
            data.execute("UPDATE conversations SET deleted = ? WHERE id = ?", (time.time(), conversation))

    def undelete(self, conversation: int) -> None:
        """Bring it back."""
        with self._change() as data:
            data.execute("UPDATE conversations SET deleted = NULL WHERE id = ?", (conversation,))
            self._known(conversation)

    def keep_newest(self, most: int) -> int:
        """Delete all but so many; returns how many went."""
        with self._change() as data:
            done = data.execute(
                "UPDATE conversations SET deleted = ? WHERE deleted IS NULL AND id NOT IN "
                "(SELECT id FROM conversations WHERE deleted IS NULL ORDER BY updated DESC, id DESC LIMIT ?)",
                (time.time(), most),
            )
            return done.rowcount

    def export(self, conversation: int) -> dict[str, Any]:
        """A conversation as plain data; media are named, with the files' places."""
        with self._lock:
            title, created = self._known(conversation)
        turns: list[dict[str, Any]] = []
        for one in self.messages(conversation):
            turn: dict[str, Any] = {"role": one.role, "text": one.text}
            if one.thoughts:
                turn["thoughts"] = one.thoughts
            if one.media:
                turn["media"] = [{"name": kept.name, "file": str(self.file(kept.digest))} for kept in one.media]
            turns.append(turn)
        return {"title": title, "created": created, "messages": turns}

    # -- media --------------------------------------------------------------------------------------------------------

    def keep(self, content: bytes, name: str) -> Medium:
        """Bytes as a kept file; equal ones are kept once."""
        digest = hashlib.sha256(content).hexdigest()[:32] + Path(name).suffix.lower()[:8]
        file = self.file(digest)
        if not file.exists():
            atomic_write(file, content)
        return Medium(digest=digest, name=Path(name).name or "file")

    def file(self, digest: str) -> Path:
        """Where a kept file is; RequestError for a name that is no hash."""
        stem, _, suffix = digest.partition(".")
        if len(stem) != 32 or not all(sign in "0123456789abcdef" for sign in stem) or (not suffix.isalnum() and suffix):
            raise RequestError(f"{digest!r} names no kept file.", status=404, param="media")
        return self.folder / "media" / digest

    def sweep(self, young_s: float = 3600.0) -> int:
        """Delete kept files that no turn names, but for the youngest, which may be waiting to be sent."""
        with self._lock:
            named = {row[0] for row in self._data.execute("SELECT DISTINCT digest FROM media")}
        gone = 0
        for file in (self.folder / "media").iterdir():
            if file.name not in named and time.time() - file.stat().st_mtime > young_s:
                file.unlink(missing_ok=True)
                gone += 1
        return gone

    # -- the file -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._data.execute("BEGIN IMMEDIATE")
            try:
                yield self._data
            except BaseException:
                self._data.execute("ROLLBACK")
                raise
            self._data.execute("COMMIT")

    def _migrate(self) -> None:
        version = int(self._data.execute("PRAGMA user_version").fetchone()[0])
        if version > len(_MIGRATIONS):
            raise RequestError(f"The history in {self.folder} was written by a newer edition: update Inkwash.")
        for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
            self._data.executescript(f"BEGIN; {script} PRAGMA user_version={number}; COMMIT;")

    def _known(self, conversation: int) -> tuple[str, float]:
        row = self._data.execute(
            "SELECT title, created FROM conversations WHERE id = ? AND deleted IS NULL", (conversation,)
        ).fetchone()
        if row is None:
            raise RequestError(f"There is no conversation {conversation}.", status=404, param="conversation")
        return str(row[0]), float(row[1])


def markdown(exported: dict[str, Any]) -> str:
    """An exported conversation to read."""
    lines = [f"# {exported['title']}", ""]
    for turn in exported["messages"]:
        lines += [f"**{turn['role']}**", ""]
        lines += [f"- {one['name']}: {one['file']}" for one in turn.get("media", ())]
        lines += [turn["text"], ""]
    return "\n".join(lines)


def dumps(exported: dict[str, Any]) -> str:
    """An exported conversation for programs."""
    return json.dumps(exported, ensure_ascii=False, indent=1)


def _title(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= MAX_TITLE else plain[: MAX_TITLE - 1] + "…"


def _like(part: str) -> str:
    escaped = part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _excerpt(text: str, word: str, around: int = 40) -> str:
    """The surroundings of a word, on one line."""
    at = max(0, text.casefold().find(word.casefold()))
    start, end = max(0, at - around), at + len(word) + around
    return ("…" if start else "") + " ".join(text[start:end].split()) + ("…" if end < len(text) else "")
