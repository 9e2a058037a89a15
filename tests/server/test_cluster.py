"""Replicas on Ray: the front with stand-ins and, marked slow, two real replicas of which one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from PIL import Image

from inkwash.core.errors import Cancelled, ConfigError, RequestError
from inkwash.engine import events
from inkwash.engine.defaults import ModelDefaults
from inkwash.engine.handle import GenerationResult
from inkwash.engine.open import LoadOptions
from inkwash.engine.output import Plan
from inkwash.engine.request import DrawRequest, TokenCounts
from inkwash.engine.scheduler import DeadlinePassed, QueueFull
from inkwash.engine.verify import Reading, attempt_seed
from inkwash.serve.backend import ModelInfo
from inkwash.serve.cluster import RayBackend
from inkwash.serve.deduplicate import EventDeduplicator
from inkwash.serve.pools import FairSemaphore, Pool, ReplicaLost, raised
from inkwash.serve.ray_session import RaySession
from inkwash.serve.replicas import PlannerReplica, portable
from inkwash.serve.settings import ClusterSettings
from tests.server.conftest import Live, running
from tests.server.fakes import fake_picture
from tests.server.test_generations import picture


class StandIn(Pool):
    """A pool whose replicas are functions; one in `deaths` streams dies in its middle."""

    def __init__(self, name: str, *, deaths: int = 0, step_s: float = 0.0) -> None:
        super().__init__(name, None, 2)
        self.deaths, self.step_s = deaths, step_s
        self.cancelled = 0
        self.asked: list[tuple[int | None, Plan | None]] = []  # seed and plan of every stream

    def ask(self, method: str, *arguments: Any) -> Any:
        assert method == "info"
        return ModelInfo(name="nano", natural_size=(256, 256), defaults=ModelDefaults(steps=20))

    def stream(self, method: str, arguments: Any, check: Any) -> Any:
        pool = self

        class Streamed:
            def __enter__(self) -> Streamed:
                self.stopped = False
                return self

            def __exit__(self, *error: Any) -> None:
                pass

            def __iter__(self) -> Iterator[Any]:
                return pool.said(self, *arguments())

            def cancel(self) -> None:
                self.stopped = True
                pool.cancelled += 1

        return Streamed()

    def said(self, stream: Any, request: DrawRequest, *rest: Any) -> Iterator[Any]:
        stage = "prior" if self.name == "planner" else "denoise"
        self.asked.append((request.seed, rest[0]))
        for step in range(4):
            if stream.stopped:
                yield Cancelled()
                return
            time.sleep(self.step_s)
            yield events.Progress(stage=stage, done=step + 1, total=4)  # type: ignore[arg-type]
            if self.deaths and step == 2:
                self.deaths -= 1
                raise ReplicaLost("ActorDiedError")
        if "out of memory" in request.prompt:
            yield RequestError("Out of memory.", status=500, code="out_of_memory")
        elif self.name == "planner":
            yield GenerationResult(
                images=[], seeds=[request.seed], plan=THE_PLAN, tokens=TOKENS, timings={"prior": 1.5}
            )
        else:
            assert self.name == "whole" or rest[0] is THE_PLAN
            assert request.seed is not None
            image = fake_picture(request, request.seed, (64, 64))
            yield events.PictureDone(index=0, image=image, seed=request.seed, tokens=TOKENS)
            yield GenerationResult(
                images=[image], seeds=[request.seed], plan=THE_PLAN, tokens=TOKENS, timings={"denoise": 0.1}
            )


THE_PLAN = Plan(torch.arange(16)[None])
TOKENS = TokenCounts(text=1, image=0, drawn=80)
REQUEST = DrawRequest(prompt="a", width=64, height=64, num_inference_steps=4, seed=1)


def whole(max_queue: int = 4, **options: Any) -> tuple[RayBackend, StandIn]:
    pool = StandIn("whole", **options)
    return RayBackend({"whole": pool}, ClusterSettings(replicas=2), max_queue=max_queue, leave=lambda: None), pool


def test_a_lost_replica_is_not_heard_of() -> None:
    backend, pool = whole(deaths=2)
    heard: list[Any] = []
    result = backend.submit(REQUEST, on_event=heard.append).result(60)
    assert result.images[0].tobytes() == fake_picture(REQUEST, 1, (64, 64)).tobytes()
    assert [type(each).__name__ for each in heard] == ["Queued", *["Progress"] * 4, "PictureDone", "Finished"]
    assert [each.done for each in heard[1:5]] == [1, 2, 3, 4] and pool.deaths == 0


def test_replicas_that_always_die_end_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkwash.serve.cluster._before_another_attempt", lambda *_: None)
    backend, _ = whole(deaths=99)
    with pytest.raises(RequestError, match="again and again"):
        backend.submit(REQUEST).result(60)
    assert backend.stats().failed == 1 and backend.stats().running == 0


def test_planners_and_decoders_share_a_request() -> None:
    pools = {"planner": StandIn("planner", deaths=1), "decoder": StandIn("decoder", deaths=1)}
    shape = ClusterSettings(planners=1, decoders=1)
    backend = RayBackend(pools, shape, max_queue=4, leave=lambda: None)  # type: ignore[arg-type]
    heard: list[Any] = []
    result = backend.submit(REQUEST, on_event=heard.append).result(60)
    assert result.timings == {"denoise": 0.1, "prior": 1.5}
    progress = [(each.stage, each.done) for each in heard if isinstance(each, events.Progress)]
    assert progress == [("prior", k) for k in range(1, 5)] + [("denoise", k) for k in range(1, 5)]


def test_the_front_bounds_cancels_and_times_out() -> None:
    backend, pool = whole(max_queue=1, step_s=0.1)
    backend.capacity = 2
    handles = [backend.submit(REQUEST) for _ in range(2)]
    with pytest.raises(QueueFull) as full:
        backend.submit(REQUEST)
    assert full.value.retry_after >= 1
    assert backend.abort(handles[0].id) and not backend.abort("none")
    with pytest.raises(Cancelled):
        handles[0].result(60)
    assert handles[1].result(60).images and pool.cancelled == 1
    with pytest.raises(DeadlinePassed):
        backend.submit(REQUEST, deadline_s=0.15).result(60)
    with pytest.raises(RequestError, match="Out of memory"):
        backend.submit(DrawRequest(prompt="out of memory", seed=1)).result(60)
    stats = backend.stats()
    assert (stats.finished, stats.cancelled, stats.failed, stats.rejected) == (1, 1, 2, 1)


def test_the_server_runs_in_front_of_replicas(settings: Any) -> None:
    with running(settings(), lambda: whole(deaths=1)[0]) as live:
        drawn = live.http.post("/v1/images/generations", json={"prompt": "a", "size": "64x64", "seed": 1, "steps": 4})
        assert picture(drawn.json()["data"][0]).size == (64, 64)


@pytest.mark.parametrize("shape", [{"replicas": 2}, {"planners": 1, "decoders": 1}])
def test_words_are_read_back_in_front_of_replicas(settings: Any, shape: dict[str, int]) -> None:
    """Attempts go through the replicas, one of which dies, and the second one keeps the plan of the first."""
    pools = {name: StandIn(name) for name in (["whole"] if "replicas" in shape else ["planner", "decoder"])}
    lines = iter(["HALLO", "HELLO"])

    def prepare(app: Any, service: Any) -> None:
        service.words._open = lambda: lambda image: Reading(lines=(next(lines),))

    def load() -> RayBackend:
        return RayBackend(pools, ClusterSettings(**shape), max_queue=4, leave=lambda: None)  # type: ignore[arg-type]

    with running(settings(), load, prepare=prepare) as live:
        for pool in pools.values():
            pool.deaths = 1
            pool.asked.clear()
        body = {"prompt": 'A sign that says "HELLO"', "size": "64x64", "steps": 4, "seed": 1, "verify": True}
        answer = live.http.post("/v1/images/generations", json=body).json()
    assert answer["verified"] is True and answer["data"][0]["verify"]["scores"] == [0.8, 1.0], answer
    assert answer["usage"]["output_tokens"] == TOKENS.drawn, "of one plan"
    second = attempt_seed(1, 0, 1)
    if "replicas" in shape:
        assert pools["whole"].asked == [(1, None), (1, None), (second, THE_PLAN)]
    else:
        assert pools["planner"].asked == [(1, None), (1, None)]
        assert pools["decoder"].asked == [(1, THE_PLAN), (1, THE_PLAN), (second, THE_PLAN)]


def test_what_was_said_is_not_said_again() -> None:
    said: list[Any] = []
    heard = EventDeduplicator(said.append)
    image = Image.new("RGB", (1, 1))
    done = events.PictureDone(index=0, image=image, seed=1, tokens=TOKENS)
    first = [events.Partial(index=0, image=image, kind="preview"), done]
    for attempt in range(2):
        heard(events.Queued(position=0, eta_s=1.0))
        for event in first:
            heard(event)
        if attempt:
            heard(events.Partial(index=0, image=image, kind="x0"))
        heard.again()
    assert [type(each).__name__ for each in said] == ["Queued", "Partial", "PictureDone", "Partial"]


def test_errors_survive_the_way_between_processes() -> None:
    import pickle

    sent = pickle.loads(pickle.dumps(portable(DeadlinePassed(2.0))))
    assert (sent.status, sent.code, sent.param) == (408, "deadline_exceeded", "deadline_s")
    assert isinstance(pickle.loads(pickle.dumps(portable(Cancelled()))), Cancelled)
    for wrong in ({"planners": 1}, {"replicas": 0}, {"replicas": -1}):
        with pytest.raises(ConfigError):
            ClusterSettings(**wrong)


async def last_of(stream: Any) -> Any:
    """The last thing that a replica says."""
    return [said async for said in stream][-1]


def test_a_planner_and_a_decoder_draw_what_a_whole_engine_draws(nano: Live) -> None:
    """The real replicas without Ray: the AR weights alone plan, a whole engine draws from that plan."""
    import asyncio

    reference, planner = (
        Image.linear_gradient("L").resize((64, 64)).convert("RGB"),
        PlannerReplica(LoadOptions(model="nano", device="cpu"), 8),
    )
    for layout in ("new", "same"):
        request = DrawRequest(
            prompt="red", images=(reference,), height=64, width=64, num_inference_steps=1, num_images=2, seed=7,
            layout=layout,  # type: ignore[arg-type]
        )  # fmt: skip
        assert nano.service.backend is not None
        expected = nano.service.backend.submit(request).result(300)
        planned = asyncio.run(last_of(planner.draw(request, None, None, 1)))
        assert planned.images == [] and planned.seeds == expected.seeds and planned.timings["prior"] > 0
        plan = planned.plan
        assert plan.prior_token_ids.tolist() == expected.plan.prior_token_ids.tolist()
        drawn = nano.service.backend.submit(request, plan=plan).result(300)
        for one, other in zip(drawn.images, expected.images, strict=True):
            assert one.tobytes() == other.tobytes()


def test_room_is_given_in_the_order_of_coming() -> None:
    room, order = FairSemaphore(1), []
    inside, go = threading.Event(), threading.Event()

    def drawing(number: int) -> None:
        with room.acquire(lambda: None):
            inside.set()
            assert go.wait(60)
            order.append(number)

    threads = [threading.Thread(target=drawing, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
        assert inside.wait(60)
        while len(room._line) < thread_count(threads) - 1:
            time.sleep(0.001)
    with pytest.raises(Cancelled), room.acquire(refuse):
        pass
    go.set()
    for thread in threads:
        thread.join(60)
    assert order == [0, 1, 2, 3]


def test_a_cluster_that_is_not_there_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    begun = time.monotonic()
    with pytest.raises(ConfigError, match=r"no Ray cluster at 127\.0\.0\.1:1 .*--ray-address"):
        RaySession(ClusterSettings(address="127.0.0.1:1"))
    assert time.monotonic() - begun < 30


def test_what_a_replica_died_of_is_found_in_a_long_message() -> None:
    message = """The deployment failed to start 2 times in a row. Error:
  File "replica.py", line 3521, in initialize
RuntimeError: Traceback (most recent call last):
  File "tensor_files.py", line 129, in _header
safetensors.SafetensorError: invalid header

The above exception was the direct cause of the following exception:
inkwash.core.errors.WeightsError: model.safetensors is cut short; download it again."""
    assert raised(message) == "model.safetensors is cut short; download it again."
    assert raised("Deploying failed.") is None


def refuse() -> None:
    raise Cancelled


def thread_count(threads: list[threading.Thread]) -> int:
    return sum(thread.ident is not None for thread in threads)


def replicas_of(pid: int, kind: bytes) -> list[int]:
    """Pids of the replicas of one kind below a process."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
                names[int(folder.name)] = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])

    def below(child: int) -> bool:
        while child in parents:
            child = parents[child]
            if child == pid:
                return True
        return False

    title = b"ray::ServeReplica"
    return [each for each, name in names.items() if name.startswith(title) and kind in name and below(each)]


SHAPES = {  # options, and which of its replicas are killed
    "whole": (["--replicas", "2"], [b"whole"]),
    "split": (["--planners", "1", "--decoders", "2"], [b"planner", b"decoder"]),
}


@contextmanager
def clustered(folder: Path, options: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`inkwash serve --ray` in a process of its own, with its address."""
    command = [sys.executable, "-m", "inkwash", "serve", "--port", "0", "--ray", *options, "--state", str(folder)]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        end = time.monotonic() + 300
        while "Ready" not in (said := (folder / "log").read_text()):
            assert server.poll() is None and time.monotonic() < end, said
            time.sleep(0.1)
        yield server, said.partition("http://")[2].split()[0]
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            raise


LOST = "trying again"
ASKED = bool(os.environ.get("INKWASH_RAY_TESTS"))  # read here: the test suite clears the variables of the package
once_more = pytest.mark.skipif(not ASKED, reason="a second start of Ray takes most of a minute: INKWASH_RAY_TESTS=1")


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["whole", pytest.param("split", marks=once_more)])
def test_a_killed_replica_is_not_noticed_by_clients(tmp_path: Path, shape: str) -> None:
    """Real Ray, real model: four clients draw on, replicas are killed, and every request gets its own picture."""
    pytest.importorskip("ray.serve")
    options, killed = SHAPES[shape]
    answers: list[tuple[int, int, bytes]] = []
    with clustered(tmp_path, options) as (server, url):

        def ask(seed: int) -> None:
            body = {"prompt": "two red circles", "size": "64x64", "steps": 4, "seed": seed}
            said = httpx2.post(f"http://{url}/v1/images/generations", json=body, timeout=300, trust_env=False)
            drawn = picture(said.json()["data"][0]).tobytes() if said.status_code == 200 else said.content
            answers.append((said.status_code, seed, drawn))

        def client() -> None:
            for seed in range(4):
                ask(seed)

        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(answers) < 4:
            assert any(thread.is_alive() for thread in threads)
            time.sleep(0.01)
        for kind in killed:
            for victim in replicas_of(server.pid, kind):
                os.kill(victim, signal.SIGKILL)
                time.sleep(0.5)
                if LOST in (tmp_path / "log").read_text():
                    break  # else that one had nothing to do just then
        at_the_kill = len(answers)
        for thread in threads:
            thread.join(300)
        assert at_the_kill < 12, "there was load"
        assert [status for status, _, _ in answers] == [200] * 16, answers
        ask(3)
        assert len({(seed, drawn) for _, seed, drawn in answers}) == 4, "a seed's picture is the same before and after"
        body = {"prompt": "red", "size": "256x256", "steps": 80, "stream": True, "progress": True}
        with httpx2.stream(
            "POST", f"http://{url}/v1/images/generations", json=body, timeout=300, trust_env=False
        ) as sent:
            lines = sent.iter_lines()
            next(line for line in lines if '"denoise"' in line)
            server.send_signal(signal.SIGTERM)
            assert any(line == "event: image_generation.completed" for line in lines), "what was accepted is answered"
        assert server.wait(60) == 0
    assert LOST in (tmp_path / "log").read_text(), "a request was lost and drawn elsewhere"
