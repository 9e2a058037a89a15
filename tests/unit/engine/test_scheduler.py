"""The engine under load: same pictures as alone, events in order, and whatever ends one request harms no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.core.errors import Cancelled, InkwashError, RequestError
from inkwash.engine import events
from inkwash.engine.ar import CpuSlots
from inkwash.engine.estimate import Speeds, work_of
from inkwash.engine.events import END_EVENTS, Event
from inkwash.engine.handle import GenerationResult, RequestHandle
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.planner import weights_edition
from inkwash.engine.prepared import Prepared
from inkwash.engine.request import DrawRequest
from inkwash.engine.scheduler import DeadlinePassed, Engine, EngineClosed, QueueFull

WAIT = 120.0  # seconds after which a test gives up; a busy machine needs some


@pytest.fixture
def own(pipe: GlmImagePipeline) -> GlmImagePipeline:
    """A pipeline object of this test's own, over the shared weights."""
    return GlmImagePipeline(pipe.parts)


@pytest.fixture
def engine(own: GlmImagePipeline) -> Iterator[Engine]:
    made = Engine(own, decode_workers=2)
    yield made
    made.close(drain=False)


def gradient(size: tuple[int, int]) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert("RGB")


def ask(prompt: str = "two red circles", **settings: Any) -> DrawRequest:
    """Small and quick: an edit has no preview to plan."""
    given = {"images": (gradient((64, 64)),), "height": 64, "width": 64, "num_inference_steps": 3, "seed": 5}
    return DrawRequest(prompt=prompt, **{**given, **settings})


@dataclass
class Heard:
    """Collects one request's events, and may act on one."""

    act: Callable[[Event], None] = lambda event: None
    all: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.all.append(event)
        self.act(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.all if isinstance(event, kind)]

    def check(self) -> None:
        """Queued first, one end and last, counts that only rise."""
        assert isinstance(self.all[0], events.Queued)
        assert [isinstance(event, END_EVENTS) for event in self.all].index(True) == len(self.all) - 1
        for stage in ("prior", "denoise"):
            told = [event.done for event in self.of(events.Progress) if event.stage == stage]
            assert told == sorted(told)


def same(a: Image.Image, b: Image.Image) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))


def mixed() -> list[DrawRequest]:
    """Sizes, both kinds, several pictures, one layout for all, a mask, and sampling settings of every sort."""
    picture, mask = gradient((96, 64)), Image.new("L", (96, 64), 0)
    mask.paste(255, (0, 0, 40, 64))
    return [
        ask("a", seed=1),
        DrawRequest(prompt='A sign that says "ONE"', height=64, width=64, num_inference_steps=2, seed=2),
        ask("b", images=(picture, gradient((64, 64))), width=96, num_images=2, seed=3, temperature=2.0),
        ask("c", num_images=2, layout="same", seed=4, guidance_scale=1.0),
        ask("d", images=(picture,), mask=mask, height=None, width=None, seed=6),
        ask("e", negative_prompt='"TWO"', seed=7, temperature=0.0, quality="high"),
    ]


def test_pictures_in_company_are_those_of_each_request_alone(own: GlmImagePipeline, engine: Engine) -> None:
    heard = [Heard() for _ in mixed()]
    handles = [engine.submit(request, on_event=each) for request, each in zip(mixed(), heard, strict=True)]
    results = [handle.result(WAIT) for handle in handles]
    for request, result, each in zip(mixed(), results, heard, strict=True):
        alone = own.draw(request)
        assert len(result.images) == request.num_images and result.seeds == alone.seeds
        assert all(same(mine, theirs) for mine, theirs in zip(result.images, alone.images, strict=True))
        assert torch.equal(result.plan.prior_token_ids, alone.plan.prior_token_ids)
        each.check()
        done = {event.index: event for event in each.of(events.PictureDone)}
        assert sorted(done) == list(range(request.num_images))
        assert all(same(done[index].image, image) for index, image in enumerate(result.images))
        assert each.of(events.Finished)[0].result is result
        assert set(result.timings) == {"queued", "prior", "denoise", "decode", "total"}
    until(lambda: engine.stats().finished == 6)
    stats = engine.stats()
    assert (stats.finished, stats.queued, stats.running, stats.pictures) == (6, 0, 0, 8)
    assert stats.references.hits > 0 and stats.tokens > 300 and stats.tokens_per_s > 0 and stats.step_s > 0


def test_progress_is_exact(engine: Engine) -> None:
    heard = Heard()
    engine.submit(ask(num_images=2, height=64, width=96), on_event=heard).result(WAIT)
    prior = [(e.done, e.total) for e in heard.of(events.Progress) if e.stage == "prior"]
    steps = [(e.done, e.total) for e in heard.of(events.Progress) if e.stage == "denoise"]
    assert prior == [(done, 12) for done in range(1, 13)]
    assert steps[-1] == (6, 6) and {total for _, total in steps} == {6}


@pytest.mark.parametrize("stage", ["prior", "denoise"])
def test_an_abort_acts_within_one_token_or_step_and_harms_nobody(
    own: GlmImagePipeline, engine: Engine, stage: str
) -> None:
    stopped: list[RequestHandle] = []
    reached = threading.Event()

    def abort_early(event: Event) -> None:
        if isinstance(event, events.Progress) and event.stage == stage and event.done >= 2:
            reached.set()
            assert go.wait(WAIT)
            assert engine.abort(stopped[0].id)

    go = threading.Event()
    victim, neighbour = Heard(abort_early), Heard()
    long = ask(height=256, width=256, num_inference_steps=40)
    stopped.append(engine.submit(long, on_event=victim))
    other = engine.submit(ask("neighbour"), on_event=neighbour)
    go.set()
    assert reached.wait(WAIT)
    with pytest.raises(Cancelled):
        stopped[0].result(WAIT)
    told = len(victim.all)
    assert same(other.result(WAIT).images[0], own.draw(ask("neighbour")).images[0])
    after = engine.submit(ask("next"))
    assert same(after.result(WAIT).images[0], own.draw(ask("next")).images[0])
    assert len(victim.all) == told and isinstance(victim.all[-1], events.Aborted)
    assert [e.done for e in victim.of(events.Progress) if e.stage == stage][-1] == 2  # not one more
    victim.check()
    until(lambda: engine.stats().finished == 2 and engine.stats().running == 0)
    stats = engine.stats()
    assert (stats.cancelled, stats.finished, stats.running) == (1, 2, 0)
    assert not engine.abort(stopped[0].id) and not engine.abort("unknown")


def test_callbacks_may_abort_each_other(engine: Engine) -> None:
    """Both are inside their callbacks, each on a decode worker of its own, when each stops the other."""
    handles: dict[str, RequestHandle] = {}
    together = threading.Barrier(2)
    answers: list[bool] = []

    def aborts(other: str) -> Callable[[Event], None]:
        def act(event: Event) -> None:
            if isinstance(event, events.Progress) and event.stage == "denoise" and event.done == 1:
                together.wait(WAIT)
                answers.append(engine.abort(handles[other].id))
                together.wait(WAIT)

        return act

    heard = {name: Heard(aborts(other)) for name, other in (("a", "b"), ("b", "a"))}
    for name in ("a", "b"):
        handles[name] = engine.submit(ask(name, num_inference_steps=40), on_event=heard[name])
    for name, handle in handles.items():
        with pytest.raises(Cancelled):
            handle.result(WAIT)
        heard[name].check()
        assert heard[name].of(events.Progress)[-1].done == 1, "nothing follows but the end"
    assert answers == [True, True]
    assert engine.submit(ask("after")).result(WAIT).images


def slow_down(monkeypatch: pytest.MonkeyPatch, gate: threading.Event) -> None:
    """Let no AR step happen before the gate opens."""
    advance = CpuSlots.advance

    def held(self: CpuSlots, sequences: Any) -> int:
        assert gate.wait(WAIT)
        return advance(self, sequences)

    monkeypatch.setattr(CpuSlots, "advance", held)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_full_queue_refuses_with_an_estimate_and_takes_again(
    own: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    slow_down(monkeypatch, gate)
    with Engine(own, decode_workers=1, slots=1, max_queue=2) as engine:
        first = engine.submit(ask())
        until(lambda: engine.stats().queued == 0)
        heard = Heard()
        waiting = [engine.submit(ask()), engine.submit(ask(), on_event=heard)]
        with pytest.raises(QueueFull, match="2 requests are waiting") as caught:
            engine.submit(ask())
        assert caught.value.status == 429 and caught.value.retry_after >= 1
        queued = heard.of(events.Queued)[0]
        assert queued.position == 2 and queued.eta_s > 0
        assert engine.stats().rejected == 1 and engine.stats().estimated_wait_s > 0
        assert engine.abort(waiting[0].id)  # while it waits: at once
        assert waiting[0].done() and engine.stats().queued == 1
        gate.set()
        assert first.result(WAIT).images and waiting[1].result(WAIT).images


def test_estimates_grow_with_the_work(own: GlmImagePipeline) -> None:
    plain = work_of(own.stages, ask(), planned=False)
    assert (plain.sequences, plain.tokens, plain.pictures, plain.steps) == (1, 4, 1, 3)
    assert work_of(own.stages, ask(num_inference_steps=30), planned=False).flops / plain.flops == pytest.approx(31 / 4)
    large = work_of(own.stages, ask(height=256, width=256), planned=False)
    assert large.tokens == 64 and large.flops > 16 * plain.flops  # attention grows faster than the area
    assert work_of(own.stages, ask(guidance_scale=1.0), planned=False).flops < plain.flops
    assert work_of(own.stages, ask(num_images=3, layout="same"), planned=False).sequences == 1
    assert work_of(own.stages, ask(), planned=True).sequences == 0
    assert work_of(own.stages, ask(images=()), planned=False).tokens == 256 + 4
    assert work_of(own.stages, ask(quality="low", num_inference_steps=30), planned=False).steps < 30
    speeds = Speeds()
    speeds.saw_tokens(4, 0.08)
    speeds.saw_picture(plain, 2.0)
    assert speeds.seconds(plain, tokens=100, pictures=3) == pytest.approx(100 * 0.02 + 3 * 2.0)


@pytest.mark.parametrize("waits", [True, False])
def test_a_deadline_ends_its_request_only(own: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch, waits: bool) -> None:
    gate = threading.Event()
    slow_down(monkeypatch, gate)
    with Engine(own, decode_workers=1, slots=1 if waits else 4) as engine:
        patient = engine.submit(ask("patient"))
        heard = Heard()
        hurried = engine.submit(ask(), on_event=heard, deadline_s=0.15)
        with pytest.raises(DeadlinePassed, match=r"deadline of 0\.15 s") as caught:
            hurried.result(WAIT)
        assert caught.value.status == 408 and isinstance(heard.all[-1], events.Failed)
        gate.set()
        assert same(patient.result(WAIT).images[0], own.draw(ask("patient")).images[0])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("no memory"), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (ZeroDivisionError("a bug"), "internal"),
    ],
)
@pytest.mark.parametrize("place", ["picture", "prompt", "step"])
def test_an_error_fails_its_own_request_only(
    own: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, place: str
) -> None:
    bad = ask("bad", seed=13)
    draw, read, advance = GlmImagePipeline.draw, own.stages.parts.processor.prepare, CpuSlots.advance

    def failing_draw(self: GlmImagePipeline, prepared: Prepared, **rest: Any) -> Any:
        if prepared.request.prompt == "bad":
            raise error
        return draw(self, prepared, **rest)

    def failing_prepare(self: Any, text: str, *rest: Any) -> Any:
        if text == "bad":
            raise error
        return read(text, *rest)

    def failing_advance(self: CpuSlots, sequences: Any) -> int:
        if any(each.job.request.prompt == "bad" for each in sequences):
            raise error
        return advance(self, sequences)

    if place == "picture":
        monkeypatch.setattr(GlmImagePipeline, "draw", failing_draw)
    elif place == "prompt":
        monkeypatch.setattr(type(own.stages.parts.processor), "prepare", failing_prepare)
    else:
        monkeypatch.setattr(CpuSlots, "advance", failing_advance)
    with Engine(own, decode_workers=2) as engine:
        handles = [engine.submit(ask("one")), engine.submit(bad), engine.submit(ask("two"))]
        with pytest.raises(InkwashError) as caught:
            handles[1].result(WAIT)
        failure = caught.value
        assert isinstance(failure, RequestError) and failure.code == code and failure.status >= 500
        assert "a bug" not in failure.message  # what went wrong inside is for the log
        kept = [handles[0].result(WAIT), handles[2].result(WAIT)]
        until(lambda: (engine.stats().failed, engine.stats().finished) == (1, 2))  # counted after the ticket has ended
    monkeypatch.undo()
    for name, result in zip(("one", "two"), kept, strict=True):
        assert same(result.images[0], own.draw(ask(name)).images[0])


def test_a_bad_request_gets_its_sentence(engine: Engine) -> None:
    start = engine.pipe.parts.processor.special["bos_token"]
    mask = Image.new("L", (10, 10), 255)
    for wrong, param in ((ask(f"sneaky {start}"), "prompt"), (ask(mask=mask), "mask")):
        with pytest.raises(RequestError) as caught:
            engine.submit(wrong).result(WAIT)
        assert caught.value.status == 400 and caught.value.param == param
    with pytest.raises(RequestError, match="partial_images is 4"):
        engine.submit(ask(), partial_images=4)
    with pytest.raises(RequestError, match="deadline_s"):
        engine.submit(ask(), deadline_s=0.0)


def test_a_plan_is_drawn_again_without_the_ar_stage(own: GlmImagePipeline, engine: Engine) -> None:
    first = engine.submit(ask(num_images=2)).result(WAIT)
    heard = Heard()
    again = engine.submit(ask(num_images=2), plan=first.plan, on_event=heard).result(WAIT)
    assert all(same(a, b) for a, b in zip(first.images, again.images, strict=True))
    assert not [event for event in heard.of(events.Progress) if event.stage == "prior"]
    wrong = engine.submit(ask(height=96), plan=first.plan)
    with pytest.raises(RequestError, match="prior_token_ids"):
        wrong.result(WAIT)


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_partial_pictures(own: GlmImagePipeline, engine: Engine, count: int) -> None:
    drawing = DrawRequest(prompt='"HELLO"', height=64, width=64, num_inference_steps=8, seed=2)
    edit = ask(num_inference_steps=8)
    heard, heard_edit = Heard(), Heard()
    handles = [
        engine.submit(drawing, on_event=heard, partial_images=count),
        engine.submit(edit, on_event=heard_edit, partial_images=count),
    ]
    results = [handle.result(WAIT) for handle in handles]
    kinds = [event.kind for event in heard.of(events.Partial)]
    assert kinds.count("x0") == max(0, count - 1) and kinds.count("preview") <= min(1, count)
    assert [event.kind for event in heard_edit.of(events.Partial)] == ["x0"] * count
    shown = [event.image for event in heard_edit.of(events.Partial)]
    assert all(image.size == (64, 64) and not same(image, results[1].images[0]) for image in shown)
    assert same(results[0].images[0], own.draw(drawing).images[0])
    assert same(results[1].images[0], own.draw(edit).images[0])


def test_the_preview_comes_before_the_plan_is_done(own: GlmImagePipeline) -> None:
    """Two decode workers, one idle while the plan is drawn: the preview is there before the picture has begun."""
    heard = Heard()
    # The preview takes four steps, and the rest of the plan hardly any time: the picture must not be done before it.
    request = DrawRequest(prompt='"HELLO"', height=256, width=256, num_inference_steps=20, seed=2)
    with Engine(own, decode_workers=2) as engine:
        engine.submit(request, on_event=heard, partial_images=1).result(WAIT)
    preview = heard.of(events.Partial)
    assert len(preview) == 1 and preview[0].kind == "preview"
    assert heard.all.index(preview[0]) < heard.all.index(heard.of(events.PictureDone)[0])


def test_an_unseeded_request_says_how_to_repeat_it(own: GlmImagePipeline, engine: Engine) -> None:
    result = engine.submit(ask(seed=None, num_images=2)).result(WAIT)
    assert result.seeds[0] is not None and result.seeds[1] == result.seeds[0] + 1
    assert same(result.images[1], own.draw(ask(seed=result.seeds[1])).images[0])


def test_callbacks_that_fail_harm_nobody(engine: Engine) -> None:
    def broken(event: Event) -> None:
        raise ValueError("not the engine's fault")

    called: list[RequestHandle] = []
    handle = engine.submit(ask(), on_event=broken)
    handle.add_done_callback(called.append)
    handle.add_done_callback(broken)  # type: ignore[arg-type]
    assert isinstance(handle.result(WAIT), GenerationResult)
    until(lambda: called == [handle])
    handle.add_done_callback(called.append)  # ended already: called at once
    assert called == [handle, handle] and handle.error() is None


def test_closing_drains_or_aborts(own: GlmImagePipeline) -> None:
    before, others = torch.get_num_threads(), set(threading.enumerate())
    drained = Engine(own, decode_workers=2)
    handles = [drained.submit(ask()) for _ in range(3)]
    drained.close()
    assert all(handle.done() and handle.error() is None for handle in handles)
    with pytest.raises(EngineClosed) as caught:
        drained.submit(ask())
    assert caught.value.status == 503
    long = ask(height=256, width=256, num_inference_steps=200)
    for settings in ({"drain": False}, {"drain": True, "timeout_s": 0.05}):
        hurried = Engine(own, decode_workers=2)
        handles = [hurried.submit(long) for _ in range(3)]
        hurried.close(**settings)
        for handle in handles:
            assert handle.done() and isinstance(handle.error(), Cancelled)
    assert torch.get_num_threads() == before
    until(lambda: not [thread for thread in set(threading.enumerate()) - others if thread.name.startswith("inkwash-")])


def test_new_weights_forget_what_was_kept_of_references(own: GlmImagePipeline, engine: Engine) -> None:
    weight = own.parts.decoder.proj_out.weight
    plain = engine.submit(ask()).result(WAIT).images[0]
    kept, edition = weight.clone(), weights_edition(own.parts.decoder)
    try:
        with torch.no_grad():
            weight.mul_(1.5)
        assert weights_edition(own.parts.decoder) > edition
        changed = engine.submit(ask()).result(WAIT).images[0]
        assert not same(changed, plain)
        assert same(changed, GlmImagePipeline(own.parts).draw(ask()).images[0])
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def test_weights_that_come_and_go(tiny_folder: Path, own: GlmImagePipeline) -> None:
    """With an offload profile the stages take turns, and the pictures stay the same."""
    asked = [ask("a", seed=1), DrawRequest(prompt="b", height=64, width=64, num_inference_steps=2, seed=2)]
    with Engine(
        GlmImagePipeline.from_pretrained(tiny_folder, offload="stage", device_map="cpu"), decode_workers=2
    ) as engine:
        handles = [engine.submit(request) for request in asked]
        for request, handle in zip(asked, handles, strict=True):
            assert same(handle.result(WAIT).images[0], own.draw(request).images[0])


def test_many_aborts_at_random_moments_leave_nothing_behind(own: GlmImagePipeline, engine: Engine) -> None:
    expected = own.draw(ask("kept")).images[0]
    handles = []
    for number in range(24):
        kept = number % 3 == 0
        handle = engine.submit(ask("kept") if kept else ask(num_images=2, num_inference_steps=20, seed=number))
        handles.append(handle)
        if not kept:
            threading.Timer(0.01 * number, engine.abort, [handle.id]).start()
    for number, handle in enumerate(handles):
        if number % 3 == 0:
            assert same(handle.result(WAIT).images[0], expected)
        else:
            until(handle.done)
    until(lambda: engine.stats().running == 0)
    stats = engine.stats()
    assert stats.queued == 0 and stats.finished + stats.cancelled == 24 and stats.failed == 0
    assert same(engine.submit(replace(ask("kept"))).result(WAIT).images[0], expected)
