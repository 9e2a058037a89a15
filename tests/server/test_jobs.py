"""Jobs: accepted at once, drawn in the background, kept over restarts, seen by their owner only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from inkwash.core.errors import ConfigError, RequestError
from inkwash.serve.auth import read_keys
from inkwash.serve.jobs import JobStore
from inkwash.serve.settings import ServeSettings
from inkwash.serve.uploads import Uploads
from tests.server.conftest import Live, backend_of, running
from tests.server.fakes import FakeBackend
from tests.server.test_edits import SMALL, hole, png
from tests.server.test_generations import picture


def put(live: Live, **fields: Any) -> dict[str, Any]:
    """A new job."""
    answer = live.http.post("/v1/images/generations?background=true", json={"prompt": "a", **fields})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


def ended(live: Live, job_id: str) -> dict[str, Any]:
    """A job when it has ended."""
    live.wait(lambda: live.http.get(f"/v1/jobs/{job_id}").json()["status"] not in ("queued", "in_progress"))
    job: dict[str, Any] = live.http.get(f"/v1/jobs/{job_id}").json()
    return job


def test_a_job_has_the_same_answer_as_a_request(fake: Live) -> None:
    job = put(fake, seed=4, size="80x70", n=2)
    assert job["status"] in ("queued", "in_progress") and job["object"] == "image.job" and "result" not in job
    done = ended(fake, job["id"])
    assert done["status"] == "completed" and done["finished_at"] >= done["started_at"] >= done["created_at"]
    direct = fake.http.post("/v1/images/generations", json={"prompt": "a", "seed": 4, "size": "80x70", "n": 2}).json()
    for kept, drawn in zip(done["result"]["data"], direct["data"], strict=True):
        assert picture(kept).tobytes() == picture(drawn).tobytes()


def test_an_edit_job_keeps_its_pictures(fake: Live) -> None:
    files = {"image": SMALL, "mask": png(hole(64, 64, (0, 0, 30, 30)))}
    answer = fake.http.post("/v1/images/edits?background=true", data={"prompt": "a", "seed": "1"}, files=files)
    done = ended(fake, answer.json()["id"])
    direct = fake.http.post("/v1/images/edits", data={"prompt": "a", "seed": "1"}, files=files).json()
    assert picture(done["result"]["data"][0]).tobytes() == picture(direct["data"][0]).tobytes()


def test_bad_jobs_fail_at_once_and_failures_are_told(fake: Live) -> None:
    assert fake.http.post("/v1/images/generations?background=true", json={"prompt": ""}).status_code == 400
    assert fake.http.post("/v1/images/generations?background=perhaps", json={"prompt": "a"}).status_code == 400
    both = fake.http.post("/v1/images/generations?background=true", json={"prompt": "a", "stream": True})
    assert both.status_code == 400 and both.json()["error"]["param"] == "stream"
    failed = ended(fake, put(fake, prompt="out of memory")["id"])
    assert failed["status"] == "failed" and failed["error"]["code"] == "out_of_memory"
    assert fake.http.get("/v1/jobs/job_none").status_code == 404


def test_jobs_can_be_cancelled_waiting_and_running(settings: Callable[..., ServeSettings]) -> None:
    backend = FakeBackend()
    with running(settings(), lambda: backend) as live:
        backend.gate = threading.Event()
        jobs = [put(live)["id"] for _ in range(6)]
        live.wait(lambda: backend.stats().running == 1)
        for each in (jobs[0], jobs[5]):
            assert live.http.delete(f"/v1/jobs/{each}").json()["status"] == "cancelled"
        live.wait(lambda: backend.cancelled == 1)
        backend.gate.set()
        assert [ended(live, each)["status"] for each in jobs] == ["cancelled", *["completed"] * 4, "cancelled"]
        assert live.http.delete(f"/v1/jobs/{jobs[1]}").json()["status"] == "completed", "what has ended stays"


def test_jobs_survive_a_stop_in_their_middle(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(), FakeBackend) as live:
        done = put(live)["id"]
        ended(live, done)
        backend_of(live).gate = threading.Event()  # from here on nothing is finished
        jobs = [put(live)["id"] for _ in range(6)]
        live.wait(lambda: live.http.get(f"/v1/jobs/{jobs[0]}").json()["status"] == "in_progress")
        seeds = {each: job.body["seed"] for each in jobs if (job := live.service.jobs.find(each))}
    with running(settings(), FakeBackend) as live:
        assert live.http.get(f"/v1/jobs/{done}").json()["status"] == "completed"
        for each in jobs:
            assert ended(live, each)["result"]["used"]["seed"] == seeds[each], "the same picture as before the stop"


def test_what_was_running_when_the_process_died_runs_again(tmp_path: Any) -> None:
    store = JobStore(tmp_path, max_jobs=9, ttl_s=60)
    job = store.add("ann", "image_generation", {"prompt": "a", "seed": 1}, Uploads((b"x",), b"m", None))
    assert store.take() is not None and store.take() is None  # and now the process is killed
    again = JobStore(tmp_path, max_jobs=9, ttl_s=60)
    taken = again.take()
    assert taken is not None and taken[0].id == job.id and taken[1] == Uploads((b"x",), b"m", None)
    again.finish(job.id, result={"data": []})
    found = again.find(job.id)
    assert found is not None and found.result == {"data": []} and again.counts() == {"completed": 1}


def test_only_the_owner_sees_a_job(settings: Callable[..., ServeSettings]) -> None:
    keys = read_keys(None, "ann:secret-of-ann,bob:secret-of-bob")
    with running(settings(api_keys=keys), FakeBackend) as live:
        ann, bob = ({"Authorization": f"Bearer secret-of-{name}"} for name in ("ann", "bob"))
        url = live.http.post("/v1/images/generations?background=1", json={"prompt": "a"}, headers=ann).headers[
            "location"
        ]
        assert live.http.get(url, headers=ann).status_code == 200
        assert live.http.get(url, headers=bob).status_code == live.http.delete(url, headers=bob).status_code == 404


def test_the_store_is_bounded_and_forgets(tmp_path: Any) -> None:
    store = JobStore(tmp_path, max_jobs=2, ttl_s=0.05)
    first = store.add("a", "image_generation", {}, Uploads())
    store.add("a", "image_generation", {}, Uploads())
    with pytest.raises(RequestError) as caught:
        store.add("a", "image_generation", {}, Uploads())
    assert caught.value.status == 429
    store.take()
    store.finish(first.id, error={"message": "no"})
    time.sleep(0.1)
    store.add("a", "image_generation", {}, Uploads())
    assert store.find(first.id) is None
    store.close()
    (tmp_path / "jobs.sqlite3").write_bytes(b"this is no database" * 100)
    with pytest.raises(ConfigError, match="job file"):
        JobStore(tmp_path, max_jobs=2, ttl_s=1)


def test_a_damaged_file_stops_the_start(tmp_path: Any) -> None:
    """Pages in the middle are damaged: the head is whole, and SQLite opens the file without a word."""
    store = JobStore(tmp_path, max_jobs=99, ttl_s=60)
    for _ in range(20):
        store.add("a", "image_generation", {"prompt": "x" * 3000}, Uploads((b"y" * 9000,)))
    store.close()
    file = tmp_path / "jobs.sqlite3"
    content = bytearray(file.read_bytes())
    content[8192:32768] = b"\xff" * (32768 - 8192)
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="job file"):
        JobStore(tmp_path, max_jobs=99, ttl_s=60)


def fill_disk(store: JobStore, full: bool) -> None:
    """No page more than there are, as on a full disk; or as many as anybody wants."""
    (pages,) = store._base.execute("pragma page_count").fetchone()
    store._base.execute(f"pragma max_page_count = {pages if full else 2**30}")


def test_jobs_go_on_after_a_full_disk(settings: Callable[..., ServeSettings]) -> None:
    """A job whose answer cannot be kept is kept later; new ones are refused; the server says so and lives on."""
    backend = FakeBackend()
    with running(settings(), lambda: backend) as live:
        backend.gate = threading.Event()
        jobs = [put(live, size="512x512")["id"] for _ in range(3)]
        live.wait(lambda: backend.stats().running == 1)
        fill_disk(live.service.jobs, True)
        backend.gate.set()
        live.wait(lambda: "jobs" in live.http.get("/health").json())
        assert "full" in live.http.get("/health").json()["jobs"] and live.http.get("/health").status_code == 200
        refused = live.http.post("/v1/images/generations?background=true", json={"prompt": "a" * 20_000})
        assert refused.status_code == 503 and refused.json()["error"]["code"] == "storage_failed"
        assert int(refused.headers["retry-after"]) >= 1
        assert live.http.post("/v1/images/generations", json={"prompt": "a"}).status_code == 200
        fill_disk(live.service.jobs, False)
        assert [ended(live, each)["status"] for each in jobs] == ["completed"] * 3
        live.wait(lambda: "jobs" not in live.http.get("/health").json())
        assert ended(live, put(live)["id"])["status"] == "completed"


def test_the_worker_outlives_any_failure(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(), FakeBackend) as live:
        right, live.service.jobs.next_owner = live.service.jobs.next_owner, None  # type: ignore[method-assign,assignment]
        job = put(live)["id"]
        live.wait(lambda: "TypeError" in live.http.get("/health").json().get("jobs", ""))
        live.service.jobs.next_owner = right  # type: ignore[method-assign]
        assert ended(live, job)["status"] == "completed"


def test_owners_take_turns(settings: Callable[..., ServeSettings]) -> None:
    """One sends twenty jobs, then another two: those do not wait for the twenty."""
    keys = read_keys(None, "ann:secret-of-ann,bob:secret-of-bob")
    backend = FakeBackend()
    with running(settings(api_keys=keys, max_jobs=40), lambda: backend) as live:
        backend.gate = threading.Event()

        def send(name: str) -> httpx2.Response:
            key = {"Authorization": f"Bearer secret-of-{name}"}
            return live.http.post("/v1/images/generations?background=1", json={"prompt": name}, headers=key)

        assert [send("ann").status_code for _ in range(20)] == [202] * 20
        full = send("ann")
        assert full.status_code == 429 and full.json()["error"]["code"] == "too_many_jobs", "half of forty are hers"
        assert int(full.headers["retry-after"]) >= 1
        assert [send("bob").status_code for _ in range(2)] == [202] * 2
        backend.gate.set()
        live.wait(lambda: len(backend.drawn) == 23)  # with the self-test picture
        order = [request.prompt for request in backend.drawn[1:]]
        assert order.index("bob") <= 5 and [at for at, name in enumerate(order) if name == "bob"][1] <= 8, order


def test_jobs_count_among_the_requests_of_their_owner(settings: Callable[..., ServeSettings]) -> None:
    backend = FakeBackend()
    with running(settings(concurrent_requests=1), lambda: backend) as live:
        backend.gate = threading.Event()
        jobs = [put(live)["id"] for _ in range(3)]
        live.wait(lambda: backend.stats().running == 1)
        time.sleep(0.3)
        assert backend.stats().queued == 0, "one at a time"
        assert live.http.post("/v1/images/generations", json={"prompt": "a"}).status_code == 429
        backend.gate.set()
        assert [ended(live, each)["status"] for each in jobs] == ["completed"] * 3
