"""Jobs in SQLite: what was asked with its pictures, how far it is, and the answer; all of it survives a restart.

Owners take turns: the next job is of the owner that has the fewest under way and was served least recently, and each
owner may keep a share of the jobs that are kept at all. A disk that is full or gone is StorageFailed, never a surprise.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inkwash.core.errors import ConfigError, RequestError
from inkwash.serve.uploads import Uploads

Status = Literal["queued", "in_progress", "completed", "failed", "cancelled"]
_SCHEMA = """
create table if not exists jobs (
    number integer primary key autoincrement, id text unique not null, owner text not null, kind text not null,
    status text not null, created real not null, started real, finished real,
    body text not null, prompt text, said text not null default '[]',
    stage text, done integer, total integer, result text, error text
);
create index if not exists jobs_by_owner on jobs (status, owner, number);
drop index if exists jobs_by_status;
create table if not exists job_pictures (
    job text not null references jobs (id) on delete cascade, name text not null, place integer not null,
    content blob not null
);
create index if not exists job_pictures_by_job on job_pictures (job);
"""


class StorageFailed(RequestError):
    """The job file could not be read or written: a disk is full or gone."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"Jobs cannot be kept now ({error}): try again later, or ask without background.",
            status=503,
            code="storage_failed",
        )
        self.retry_after = 10.0


class TooManyJobs(RequestError):
    """As many jobs wait as are kept."""

    def __init__(self, waiting: int, retry_after: float) -> None:
        super().__init__(
            f"{waiting} jobs wait, as many as are kept: try again later.", status=429, code="too_many_jobs"
        )
        self.retry_after = retry_after


@dataclass(frozen=True, kw_only=True)
class StoredJob:
    """One row; `body` holds the fields as they were checked, with their seed."""

    id: str
    owner: str
    kind: str
    status: Status
    created: float
    started: float | None
    finished: float | None
    body: dict[str, Any]
    prompt: str | None
    warnings: tuple[str, ...]
    progress: tuple[str, int, int] | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None


class JobStore:
    """Safe to use from any thread."""

    def __init__(self, folder: Path, *, max_jobs: int, ttl_s: float, owners: int = 1) -> None:
        """`owners`: among how many the kept jobs are shared."""
        self.max_jobs, self.ttl_s = max_jobs, ttl_s
        self.max_of_owner = -(-max_jobs // max(1, owners))
        self._lock = threading.Lock()
        self._served: dict[str, int] = {}  # when each owner's last job was taken, by a count
        path = folder / "jobs.sqlite3"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._base.row_factory = sqlite3.Row
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma foreign_keys = on")
            found = self._base.execute("pragma quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(f"it is damaged: {found}")
            self._base.executescript(_SCHEMA)
            path.chmod(0o600)
            self._base.execute("update jobs set status = 'queued', started = null where status = 'in_progress'")
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(
                f"The job file {str(path)!r} cannot be used ({error}): choose another folder with --state, or move "
                "the file away."
            ) from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._base.execute("begin immediate")
                try:
                    yield self._base
                    self._base.execute("commit")
                except BaseException:
                    with suppress(sqlite3.Error):  # a full disk has undone it already
                        self._base.execute("rollback")
                    raise
            except sqlite3.Error as error:
                raise StorageFailed(error) from error

    def _read(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            try:
                return self._base.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise StorageFailed(error) from error

    def add(
        self,
        owner: str,
        kind: str,
        body: dict[str, Any],
        uploads: Uploads,
        *,
        own_id: str | None = None,
        retry_after: float = 1.0,
    ) -> StoredJob:
        """Keep a new job; raises TooManyJobs (429) when too many wait, of this owner or of all.

        `own_id` is for a request that is being drawn already and whose client has gone: it is always kept.
        """
        job_id = own_id or f"job_{secrets.token_hex(12)}"
        pictures = [("image", place, content) for place, content in enumerate(uploads.images)]
        pictures += [(n, 0, c) for n, c in (("mask", uploads.mask), ("markup", uploads.markup)) if c is not None]
        now = time.time()
        with self._transaction() as base:
            base.execute("delete from jobs where finished < ?", (now - self.ttl_s,))
            of_owner, waiting = base.execute(
                "select coalesce(sum(owner = ?), 0), count(*) from jobs where status in ('queued', 'in_progress')",
                (owner,),
            ).fetchone()
            if own_id is None and (waiting >= self.max_jobs or of_owner >= self.max_of_owner):
                raise TooManyJobs(of_owner if of_owner >= self.max_of_owner else waiting, retry_after)
            status, started = ("queued", None) if own_id is None else ("in_progress", now)
            base.execute(
                "insert into jobs (id, owner, kind, status, created, started, body) values (?, ?, ?, ?, ?, ?, ?)",
                (job_id, owner, kind, status, now, started, json.dumps(body)),
            )
            base.executemany(
                "insert into job_pictures (job, name, place, content) values (?, ?, ?, ?)",
                [(job_id, *each) for each in pictures],
            )
        found = self.find(job_id)
        assert found is not None
        return found

    def find(self, job_id: str, owner: str | None = None) -> StoredJob | None:
        """A job by its id, and only the owner's where one is given."""
        rows = self._read("select * from jobs where id = ?", job_id)
        if not rows or (owner is not None and rows[0]["owner"] != owner):
            return None
        return _job(rows[0])

    def next_owner(self, busy: Collection[str] = ()) -> str | None:
        """Whose turn it is, but for those that are busy; None where nobody else waits."""
        waiting = self._read("select owner, min(number) as first from jobs where status = 'queued' group by owner")
        under_way = self._read("select owner, count(*) as jobs from jobs where status = 'in_progress' group by owner")
        running = {row["owner"]: row["jobs"] for row in under_way}
        turns = [
            (running.get(row["owner"], 0), self._served.get(row["owner"], 0), row["first"], row["owner"])
            for row in waiting
            if row["owner"] not in busy
        ]
        return min(turns)[-1] if turns else None

    def take(self, owner: str | None = None) -> tuple[StoredJob, Uploads] | None:
        """The oldest waiting job of an owner (of the one whose turn it is) and its pictures; it is in progress then."""
        owner = self.next_owner() if owner is None else owner
        if owner is None:
            return None
        with self._transaction() as base:
            row = base.execute(
                "select * from jobs where status = 'queued' and owner = ? order by number limit 1", (owner,)
            ).fetchone()
            if row is None:
                return None
            self._served[owner] = max(self._served.values(), default=0) + 1
            base.execute("update jobs set status = 'in_progress', started = ? where id = ?", (time.time(), row["id"]))
            pictures = base.execute(
                "select name, content from job_pictures where job = ? order by place", (row["id"],)
            ).fetchall()
        single = {each["name"]: each["content"] for each in pictures if each["name"] != "image"}
        images = tuple(each["content"] for each in pictures if each["name"] == "image")
        return _job(row), Uploads(images, single.get("mask"), single.get("markup"))

    def put_back(self, job_id: str) -> None:
        """Let a job wait again; its place in the order stays."""
        with self._transaction() as base:
            base.execute(
                "update jobs set status = 'queued', started = null where id = ? and status = 'in_progress'", (job_id,)
            )

    def set_prompt(self, job_id: str, prompt: str | None, warnings: tuple[str, ...]) -> None:
        """Remember a rewritten prompt, so that a restart draws the same."""
        with self._transaction() as base:
            base.execute("update jobs set prompt = ?, said = ? where id = ?", (prompt, json.dumps(warnings), job_id))

    def set_progress(self, job_id: str, stage: str, done: int, total: int) -> None:
        """How far a job is."""
        with self._transaction() as base:
            base.execute("update jobs set stage = ?, done = ?, total = ? where id = ?", (stage, done, total, job_id))

    def finish(self, job_id: str, *, result: dict[str, Any] | None = None, error: dict[str, Any] | None = None) -> None:
        """The end of a job that was not cancelled; its pictures are forgotten, its answer is kept."""
        with self._transaction() as base:
            base.execute(
                "update jobs set status = ?, finished = ?, result = ?, error = ? "
                "where id = ? and status = 'in_progress'",
                ("failed" if result is None else "completed", time.time(), _text(result), _text(error), job_id),
            )
            base.execute("delete from job_pictures where job = ?", (job_id,))

    def cancel(self, job_id: str) -> None:
        """Mark a job that has not ended as cancelled."""
        with self._transaction() as base:
            base.execute(
                "update jobs set status = 'cancelled', finished = ? where id = ? "
                "and status in ('queued', 'in_progress')",
                (time.time(), job_id),
            )
            base.execute("delete from job_pictures where job = ?", (job_id,))

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return {row[0]: row[1] for row in self._read("select status, count(*) from jobs group by status")}

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._base.close()


def _text(value: dict[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value)


def _job(row: sqlite3.Row) -> StoredJob:
    return StoredJob(
        id=row["id"],
        owner=row["owner"],
        kind=row["kind"],
        status=row["status"],
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        body=json.loads(row["body"]),
        prompt=row["prompt"],
        warnings=tuple(json.loads(row["said"])),
        progress=None if row["stage"] is None else (row["stage"], row["done"], row["total"]),
        result=None if row["result"] is None else json.loads(row["result"]),
        error=None if row["error"] is None else json.loads(row["error"]),
    )
