"""Seconds of a step of reinforcement by part, and how busy it keeps the cores: the real loops.

    python -m bench.rl_step [ar plans decoder see] [--asks 8] [--group 8] [--steps 3] [--readers 0] [--write]

A part's seconds are those in which nothing of another part runs inside it. "log-probabilities" are the forward passes
of the update, which are velocities for the decoder; "update" is the rest of it; "refresh" copies the policy into what
rolls out, "store" keeps the rollouts for a run that is killed. The state is saved once, behind the last step. Busy is
the CPU time of this process and its readers, of all usable cores' time. What rolls out must take the fast products: the
rows of an AR replica packed (`RowDecoder.shares`), the queries, keys and values of a decoder's replica fused; otherwise
the benchmark stops. The threads are OMP_NUM_THREADS, or all cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from bench import sheet

from inkwash.core.device import set_threads, usable_cores
from inkwash.core.heap import hold_memory
from inkwash.data.loader import Batch
from inkwash.engine.plan_choice import PlanReader
from inkwash.models.glm.decode import fuse_for_decode
from inkwash.models.glm.row_decode import RowDecoder
from inkwash.models.glm_image.decoder import Decoder
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.models.glm_v.folder import resolve_vision
from inkwash.models.glm_v.weights import load_glm_v
from inkwash.models.registry import resolve
from inkwash.recipes.reinforce import PromptWorld, Rewards
from inkwash.rl import grpo_ar, grpo_decoder, grpo_see
from inkwash.rl.grpo_ar import ARReinforce
from inkwash.rl.grpo_see import SeeReinforce
from inkwash.rl.loop import RolloutStore
from inkwash.rl.policy import TrainedPolicy
from inkwash.rl.questions import QuestionSource
from inkwash.rl.replica import PolicyReplica
from inkwash.rl.rewards.fidelity import FidelityReward
from inkwash.rl.rewards.plan import ReadPlanReward
from inkwash.rl.rewards.scorer import Scorer
from inkwash.rl.velocities import DecoderReinforce
from inkwash.train.run import TrainingRun

CPU = torch.device("cpu")
PARTS = ("prompts", "refresh", "rollout", "reward", "log-probabilities", "update", "store", "other")
WARM = 1  # steps before the first that counts: readers start, buffers grow
NEVER_S = 1e9  # between two saves
Loop = Callable[["StepClock"], object]

# Where a part begins: module or class, name, part.
PLACES: dict[str, tuple[tuple[Any, str, str], ...]] = {
    "ar": (
        (grpo_ar, "roll", "rollout"),
        (grpo_ar, "plan_logps", "log-probabilities"),
        (grpo_ar, "token_updates", "update"),
    ),
    "decoder": (
        (grpo_decoder, "roll", "rollout"),
        (grpo_decoder, "_velocity", "log-probabilities"),
        (grpo_decoder, "learn", "update"),
    ),
    "see": (
        (grpo_see, "answer_group", "rollout"),
        (grpo_see, "mark", "reward"),
        (grpo_see, "answer_logps", "log-probabilities"),
        (grpo_see, "token_updates", "update"),
    ),
}
PLACES["plans"] = PLACES["ar"]
SHARED = (
    (TrainedPolicy, "whole", "refresh"),
    (Scorer, "score", "reward"),
    (Scorer, "score_plans", "reward"),
    (RolloutStore, "put", "store"),
)


@dataclass(kw_only=True)
class StepClock:
    """Seconds by part, each without those of the parts inside it; counts between `begin` and `end`."""

    now: Callable[[], float] = time.perf_counter
    seconds: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    _stack: list[str] = field(default_factory=lambda: ["other"])
    _since: float = 0.0
    _running: bool = False

    def begin(self) -> None:
        self._running, self._since = True, self.now()
        self.wall, self.cpu = self._since, cpu_seconds()

    def end(self) -> None:
        self._switch()
        self._running = False
        self.wall, self.cpu = self._since - self.wall, cpu_seconds() - self.cpu

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Inside, time counts for `name`."""
        self._switch()
        self._stack.append(name)
        try:
            yield
        finally:
            self._switch()
            self._stack.pop()

    def within(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose time counts for `name`."""

        @wraps(call)
        def timed(*args: Any, **named: Any) -> Any:
            with self.part(name):
                return call(*args, **named)

        return timed

    def _switch(self) -> None:
        now = self.now()
        if self._running:
            self.seconds[self._stack[-1]] += now - self._since
        self._since = now


@dataclass(frozen=True)
class TimedPrompts:
    """A source of prompts that counts, and begins the count at the first step behind the warm ones."""

    source: Callable[[int], Batch]
    clock: StepClock

    def __call__(self, step: int) -> Batch:
        if step == WARM:
            self.clock.begin()
        with self.clock.part("prompts"):
            return self.source(step)


@dataclass(frozen=True, kw_only=True)
class StepSeconds:
    """What a loop's step takes, by part, in seconds of the clock; CPU seconds of all processes; seconds of a save."""

    name: str
    parts: dict[str, float]
    wall: float
    cpu: float
    save: float
    samples: int  # rollouts of a step

    @property
    def busy(self) -> float:
        """Share of all usable cores."""
        return self.cpu / self.wall / usable_cores()


def cpu_seconds() -> float:
    """Of this process and of the worker processes that it has now."""
    return time.process_time() + sum(_cpu_of(each.pid) for each in multiprocessing.active_children())


def _cpu_of(pid: int | None) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_packed(network: Any) -> None:
    """Refuse a replica whose rollouts would take the slow products."""
    if isinstance(network, Decoder):
        assert all(block.attn1.fused is not None for block in network.blocks), "a replica's projections are not fused"
        return
    rows = RowDecoder(fuse_for_decode(network))
    assert rows.shares, "the replica's rows are not packed: its weights are not as a 16-bit checkpoint stores them"


def measured(name: str, loop: Loop, steps: int, samples: int) -> StepSeconds:
    """Run a loop of WARM + `steps` steps; `loop` gets the clock, times its prompts by it, and saves at the end only."""
    clock, log, save, refresh = StepClock(), TrainingRun.log, TrainingRun.save, PolicyReplica.refresh
    saves: list[float] = []
    rolled: dict[int, Any] = {}

    def logged(run: TrainingRun, step: int, *args: Any, **named: Any) -> None:
        if step + 1 == run.total:
            clock.end()  # what follows saves the state
        log(run, step, *args, **named)

    def saved(run: TrainingRun, step: int) -> None:
        begin = time.perf_counter()
        save(run, step)
        saves.append(time.perf_counter() - begin)

    def refreshed(replica: PolicyReplica, state: Any) -> None:
        rolled[id(replica.network)] = replica.network
        with clock.part("refresh"):
            refresh(replica, state)

    with ExitStack() as stack:
        for owner, attribute, part in (*PLACES[name], *SHARED):
            stack.enter_context(patch.object(owner, attribute, clock.within(part, getattr(owner, attribute))))
        for owner, attribute, instead in (
            (TrainingRun, "log", logged),
            (TrainingRun, "save", saved),
            (PolicyReplica, "refresh", refreshed),
        ):
            stack.enter_context(patch.object(owner, attribute, instead))
        loop(clock)
    for network in rolled.values():
        check_packed(network)
    parts = {part: clock.seconds[part] / steps for part in PARTS}
    return StepSeconds(
        name=name, parts=parts, wall=clock.wall / steps, cpu=clock.cpu / steps, save=saves[-1], samples=samples
    )


def ar_loop(args: argparse.Namespace, folder: Path, *, plans: bool = False) -> Loop:
    """The AR generator, with the rewards that the recipe gives it, or by its plans alone."""
    config = ARReinforce(**_settings(args))
    parts = load_pipeline_parts(resolve(args.model))
    if plans:
        assert parts.code_labels is not None, f"{args.model} does not tell what its semantic codes show"
        reader = ReadPlanReward(reader=PlanReader(parts.code_labels), limits=parts.drawing.limits)
        scorer = Rewards(text=0.0, plan=1.0).scorer({}, {"plan": reader})
    else:
        scorer = Rewards(facts=0.5, look=0.25, workers=args.readers).scorer({})
    source = PromptWorld(level=args.level, side=args.side).source(config)

    def loop(clock: StepClock) -> None:
        grpo_ar.grpo_ar(parts, TimedPrompts(source, clock), scorer, folder, config, device=CPU)
        scorer.close()

    return loop


def decoder_loop(args: argparse.Namespace, folder: Path) -> Loop:
    """The decoder by DiffusionNFT, rewarded for text and fidelity."""
    config = DecoderReinforce(**_settings(args))
    parts = load_pipeline_parts(resolve(args.model))
    vision = parts.ar.model.visual.eval().requires_grad_(False)
    fidelity = FidelityReward(vision=vision, pictures=parts.processor.pictures)
    scorer = Rewards(fidelity=0.5, workers=args.readers).scorer({"fidelity": fidelity})
    source = PromptWorld(level=args.level, side=args.side).source(config)

    def loop(clock: StepClock) -> None:
        grpo_decoder.grpo_decoder(parts, TimedPrompts(source, clock), scorer, folder, config, device=CPU)
        scorer.close()

    return loop


def see_loop(args: argparse.Namespace, folder: Path) -> Loop:
    """The half that sees, by RLCS."""
    config = SeeReinforce(**_settings(args))
    parts = load_glm_v(resolve_vision(args.see_model), dtype=torch.float32)
    source = QuestionSource(seed=config.seed, pool=config.asks + config.spare, level=args.level)

    def loop(clock: StepClock) -> None:
        grpo_see.grpo_see(parts, TimedPrompts(source, clock), folder, config, device=CPU)

    return loop


LOOPS = {"ar": ar_loop, "plans": partial(ar_loop, plans=True), "decoder": decoder_loop, "see": see_loop}


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    shared = {"steps": WARM + args.steps, "asks": args.asks, "group": args.group}
    return shared | {"judge_every": 0, "save_every_s": NEVER_S}


def report(found: list[StepSeconds]) -> str:
    """Markdown: a row for each part, a column for each loop."""
    rows = [(part, *(f"{one.parts[part]:.2f}" for one in found)) for part in PARTS]
    rows += [
        ("a step", *(f"{one.wall:.2f}" for one in found)),
        ("its CPU seconds", *(f"{one.cpu:.2f}" for one in found)),
        (f"busy share of {usable_cores()} cores", *(f"{100 * one.busy:.0f} %" for one in found)),
        ("rollouts of a step", *(str(one.samples) for one in found)),
        ("saving the state", *(f"{one.save:.2f}" for one in found)),
    ]
    return sheet.table(("seconds", *(one.name for one in found)), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loops", nargs="*", choices=(*LOOPS, []), help="which loops; none means all")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--see-model", default="nano-v")
    parser.add_argument("--level", default="card", help="of the scene world")
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--asks", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help=f"that count, behind {WARM} that does not")
    parser.add_argument("--readers", type=int, default=0, help="processes that read pictures; 0: this one")
    parser.add_argument("--write", action="store_true", help="write a results file")
    args = parser.parse_args()
    threads = set_threads()
    hold_memory()
    print(f"{sheet.hardware()}; {threads} threads, load {os.getloadavg()[0]:.1f}")
    found = []
    for name in args.loops or LOOPS:
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as scratch:
            loop = LOOPS[name](args, Path(scratch) / name)
            found.append(measured(name, loop, args.steps, args.asks * args.group))
    body = (
        f"`{args.model}` and `{args.see_model}`, level {args.level}, {args.side} px; {args.steps} steps of {args.asks} "
    )
    body += f"prompts in groups of {args.group}; {args.readers} reader processes, "
    body += f"load average {os.getloadavg()[0]:.1f}.\n\n{report(found)}"
    print(body)
    if args.write:
        print(sheet.write("rl-step", body))


if __name__ == "__main__":
    main()
