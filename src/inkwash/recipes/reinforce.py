"""Reinforcement of a finished checkpoint: `inkwash rl ar|decoder|see|detail|headroom --set model=... --set level=...`.

Everything takes a checkpoint (a name or a folder), a level of the scene world and a canvas. The result is a checkpoint
in `work`/checkpoint or, with `--set method=lora`, an adapter in `work`/lora; `work`/NETWORK holds the resumable state,
the log, the judged pictures and the report. Under torchrun the processes share every step.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inkwash.core.device import pick_device
from inkwash.core.errors import ConfigError
from inkwash.engine.plan_choice import PlanReader
from inkwash.eval.ocr import ReaderConfig
from inkwash.eval.readers import open_reader
from inkwash.models.glm_image.weights import GlmImageParts, load_pipeline_parts, save_pipeline_parts
from inkwash.models.glm_v.folder import resolve_vision
from inkwash.models.glm_v.weights import GlmVParts, load_glm_v, save_glm_v
from inkwash.models.registry import resolve
from inkwash.recipes.trained import print_result
from inkwash.rl.grpo_ar import ARReinforce, grpo_ar
from inkwash.rl.grpo_decoder import grpo_decoder, true_plans, truth_items
from inkwash.rl.grpo_see import SeeReinforce, grade_cells, grpo_see
from inkwash.rl.headroom import headroom_numbers
from inkwash.rl.judging import Judging, reporting_readers
from inkwash.rl.loop import Reinforcing
from inkwash.rl.prompts import PromptSource, check_edits
from inkwash.rl.questions import QuestionSource
from inkwash.rl.report import alarm_lines, judged_rows, write_board
from inkwash.rl.rewards.base import PlanReward, Reward
from inkwash.rl.rewards.detail import DetailNet, detail_loss, load_detail, rounded, save_detail
from inkwash.rl.rewards.detail_board import detail_board
from inkwash.rl.rewards.detail_crops import CropWorld, DetailCrops
from inkwash.rl.rewards.detail_drawn import judged_crops, read_crops, write_crops
from inkwash.rl.rewards.facts import FactsReward
from inkwash.rl.rewards.fidelity import FidelityReward, fidelity_of
from inkwash.rl.rewards.http import HttpReward
from inkwash.rl.rewards.look import LookReward
from inkwash.rl.rewards.plan import ReadPlanReward
from inkwash.rl.rewards.round_trip import RoundTripVAE
from inkwash.rl.rewards.scorer import Readings, Scorer, reward_reader
from inkwash.rl.rewards.text import TextReward
from inkwash.rl.rollout import TOGETHER, Rollout, sampling_of
from inkwash.rl.velocities import DecoderReinforce
from inkwash.train.config import Training
from inkwash.train.decoder import FrozenParts
from inkwash.train.lock import lock_folder
from inkwash.train.lora import AdapterState, LoRA, add_lora, join_for_diffusers, save_adapter
from inkwash.train.optim import descend, lr_at, make_optimizers, set_lr
from inkwash.train.parallel import Ranks, finish, first_does, start
from inkwash.train.run import TrainingRun

METHODS = ("full", "lora")
FOLDERS = {"ar": "vision_language_encoder", "decoder": "transformer"}
READERS = {"rapidocr-v4": "v4", "rapidocr": "v6"}
CALIBRATING = 16  # pictures that set the scale of fidelity
DRAWN_STEPS = (4, 8)  # by turns, of pictures that the evaluator of details learns from: few steps fail more often


@dataclass(frozen=True, kw_only=True)
class PromptWorld:
    """What is asked for: a level of the scene world, a square canvas, texts at most, shares of Chinese and of edits.

    Edits are judged by their plans.
    """

    level: str = "card"
    side: int = 256
    most_texts: int = 3
    chinese: float = 0.0
    edits: float = 0.0

    def __post_init__(self) -> None:
        check_edits(self.level, self.edits)

    def source(self, config: ARReinforce | DecoderReinforce) -> PromptSource:
        """The prompts of a run."""
        return PromptSource(
            seed=config.seed,
            count=config.asks,
            spare=config.spare,
            level=self.level,
            canvases=((self.side, self.side),),
            most_texts=self.most_texts,
            chinese=self.chinese,
            edits=self.edits,
        )


@dataclass(frozen=True, kw_only=True)
class Rewards:
    """Weights of the rewards (0 leaves one out), who reads, and servers of further rewards.

    `plan` judges plans as they are: where it is the only one, no picture is drawn. `http` names addresses, separated by
    commas; each counts `http_weight`, and `http_low` to `http_high` is their scale. `detail_model` is what
    `inkwash rl detail` wrote. `workers` processes read.
    """

    text: float = 1.0
    plan: float = 0.0
    facts: float = 0.0
    look: float = 0.0
    fidelity: float = 0.0
    detail: float = 0.0
    detail_model: Path = Path()
    http: str = ""
    http_weight: float = 1.0
    http_low: float = 0.0
    http_high: float = 1.0
    http_timeout_s: float = 60.0
    reader: str = "rapidocr-v4"
    workers: int = 0

    def __post_init__(self) -> None:
        if self.reader not in READERS:
            raise ValueError(f"reader must be one of {', '.join(READERS)}, got {self.reader!r}.")
        if min(self.text, self.plan, self.facts, self.look, self.fidelity, self.detail) < 0:
            raise ValueError("weights of rewards must be 0 or more.")

    @property
    def reads(self) -> bool:
        return self.text > 0 or self.facts > 0 or self.look > 0

    @property
    def draws(self) -> bool:
        """Whether the generator is judged by pictures; fidelity and detail judge the decoder alone."""
        return self.reads or bool(self.http.replace(",", " ").strip())

    def scorer(self, further: dict[str, Reward], plans: dict[str, PlanReward] | None = None) -> Scorer:
        """The rewards at work; `further` and `plans`, those of plans, need a checkpoint."""
        config = reward_reader(READERS[self.reader])
        readings = Readings(config, self.workers) if self.reads else None
        rewards: dict[str, Reward] = {}
        if self.text and readings is not None:
            rewards["text"] = TextReward(reader=readings.name)
        if self.facts:
            rewards["facts"] = FactsReward()
        if self.look:
            rewards["look"] = LookReward()
        rewards |= further
        weights = {"text": self.text, "facts": self.facts, "look": self.look}
        weights |= {"fidelity": self.fidelity, "detail": self.detail, "plan": self.plan}
        for number, url in enumerate(filter(None, (word.strip() for word in self.http.split(",")))):
            name = f"http{number}"
            weights[name] = self.http_weight
            rewards[name] = HttpReward(
                url=url, label=name, low=self.http_low, high=self.http_high, timeout_s=self.http_timeout_s
            )
        if not rewards and not plans:
            raise ConfigError(
                "Reinforcement needs a reward: give one of rewards.text, plan, facts, look or http a weight."
            )
        return Scorer(rewards=rewards, plans=plans or {}, weights=weights, readings=readings)


def rl_ar(
    work: Path = Path("work/rl"),
    model: str = "nano",
    method: str = "full",
    device: str = "",
    judged: int = 40,
    world: PromptWorld = PromptWorld(),
    rewards: Rewards = Rewards(facts=0.5, look=0.25),
    lora: LoRA = LoRA(rank=32, alpha=64.0),  # noqa: B008
    train: ARReinforce = ARReinforce(steps=300),  # noqa: B008
) -> Path:
    """Reinforce the AR generator by token GRPO; returns the folder of the result."""
    if world.edits and rewards.draws:
        raise ConfigError("world.edits are judged by their plans: set all rewards but rewards.plan to 0.")
    ranks, place = _begin(work, method, device, train)
    checkpoint = first_does(ranks, lambda: resolve(model))
    adapters = lora if method == "lora" else None
    parts = _loaded(checkpoint, adapters, place)
    scorer = rewards.scorer({}, _plan_rewards(rewards, parts))
    drawing = replace(world, edits=0.0).source(train)
    judge = _judge(work / "ar", drawing, judged, rewards) if ranks.first and train.judge_every else _silent
    torch.manual_seed(train.seed)
    state = grpo_ar(
        parts, world.source(train), scorer, work / "ar", train, device=place, lora=adapters, ranks=ranks, judge=judge
    )
    scorer.close()
    return _finish(work, "ar", checkpoint, model, state, adapters, ranks)


def rl_decoder(
    work: Path = Path("work/rl"),
    model: str = "nano",
    method: str = "full",
    device: str = "",
    judged: int = 40,
    world: PromptWorld = PromptWorld(),
    rewards: Rewards = Rewards(fidelity=0.5),
    lora: LoRA = LoRA(rank=32, alpha=64.0),  # noqa: B008
    train: DecoderReinforce = DecoderReinforce(steps=300),  # noqa: B008
) -> Path:
    """Reinforce the diffusion decoder by DiffusionNFT, AWM or Flow-GRPO; returns the folder of the result."""
    if rewards.plan or world.edits:
        raise ConfigError("rewards.plan and world.edits are about plans, which the decoder is given: use `rl ar`.")
    ranks, place = _begin(work, method, device, train)
    checkpoint = first_does(ranks, lambda: resolve(model))
    adapters = lora if method == "lora" else None
    parts = _loaded(checkpoint, adapters, place)
    frozen = _frozen(parts, place)
    further: dict[str, Reward] = {}
    if rewards.fidelity:
        fidelity = FidelityReward(vision=frozen.vision, pictures=parts.processor.pictures)
        rollout = Rollout(parts=parts, sampling=sampling_of(parts), steps=train.draw_steps, together=train.together)
        items = partial(truth_items, rollout, frozen, replace(world.source(train), count=CALIBRATING, spare=0), place)
        file = work / "decoder" / "fidelity.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        further["fidelity"] = replace(
            fidelity, scale=first_does(ranks, lambda: fidelity_of(fidelity, file, items).scale)
        )
    if rewards.detail:
        further["detail"] = load_detail(rewards.detail_model)
    scorer = rewards.scorer(further)
    judge = (
        _judge(work / "decoder", world.source(train), judged, rewards, partial(true_plans, frozen, place))
        if ranks.first and train.judge_every
        else _silent
    )
    torch.manual_seed(train.seed)
    state = grpo_decoder(
        parts,
        world.source(train),
        scorer,
        work / "decoder",
        train,
        device=place,
        lora=adapters,
        ranks=ranks,
        judge=judge,
    )
    scorer.close()
    return _finish(work, "decoder", checkpoint, model, state, adapters, ranks)


def rl_see(
    work: Path = Path("work/rl"),
    model: str = "nano-v",
    method: str = "full",
    device: str = "",
    level: str = "first",
    side: int = 256,
    kinds: str = "",
    graded: int = 0,
    lora: LoRA = LoRA(rank=32, alpha=64.0),  # noqa: B008 (frozen)
    train: SeeReinforce = SeeReinforce(steps=200),  # noqa: B008
) -> Path:
    """Reinforce a model that sees by RLCS; returns the folder of the result.

    `kinds` of questions, separated by commas (none: all); `graded` questions measure the start's pass rates beforehand.
    """
    ranks, place = _begin(work, method, device, train)
    folder = first_does(ranks, lambda: resolve_vision(model))
    adapters = lora if method == "lora" else None
    parts = load_glm_v(folder, dtype=torch.bfloat16 if adapters and place.type != "cpu" else torch.float32)
    chosen = tuple(filter(None, (kind.strip() for kind in kinds.split(","))))
    source = QuestionSource(
        seed=train.seed, pool=train.asks + train.spare, level=level, canvases=((side, side),), kinds=chosen
    )
    file = work / "see" / "grades.json"
    if graded and not file.exists():
        first_does(ranks, lambda: _grade(file, parts, replace(source, seed=source.seed + 1, pool=graded), train))
    grades = json.loads(file.read_text(encoding="utf-8")) if graded else {}
    torch.manual_seed(train.seed)
    state = grpo_see(parts, source, work / "see", train, device=place, lora=adapters, ranks=ranks, grades=grades)
    out = work / ("checkpoint" if adapters is None else "lora")
    first_does(ranks, lambda: _write_vision(out, folder, model, state, adapters))
    finish(ranks)
    if ranks.first:
        print_result(out, "describe FILE", adapter=adapters is not None)
    return out


def _grade(file: Path, parts: GlmVParts, source: QuestionSource, train: SeeReinforce) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    parts.model.eval().requires_grad_(False)
    rates = grade_cells(parts, source(0)["asks"], train, _progress)
    file.write_text(json.dumps(rates, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _write_vision(out: Path, folder: Path, model: str, state: dict[str, Tensor], adapters: LoRA | None) -> None:
    parts = load_glm_v(folder, dtype=torch.float32)
    if adapters is None:
        parts.model.load_state_dict(state)
        save_glm_v(parts, out, dtype=torch.bfloat16)
        return
    part = "glm_v_tied" if parts.model.config.tie_word_embeddings else "glm_v"
    wrapped = add_lora(parts.model, part, adapters)
    AdapterState(wrapped).load_state_dict(state)
    save_adapter(wrapped, out, base=model)


def rl_detail(
    work: Path = Path("work/rl"),
    model: str = "nano",
    level: str = "card",
    side: int = 256,
    scenes: int = 400,
    drawn: int = 192,
    held: int = 16,
    reader: str = "rapidocr-v4",
    train: Training = Training(steps=800, lr=2e-3, warmup=20, workers=0),  # noqa: B008
) -> Path:
    """Train the evaluator of details; prints its ROC-AUC on held-out crops and returns `work`/detail.safetensors.

    `model` and `level` may each be several, separated by commas: a level of scenes for each checkpoint. There are
    `scenes` scenes to learn from; every checkpoint draws `drawn` further ones from true plans (0: none), a quarter of
    them held out, and `held` batches of damaged crops are held out.
    """
    models, levels = ([word.strip() for word in words.split(",")] for words in (model, level))
    if len(models) != len(levels):
        raise ConfigError(f"--set level={level}: one level for each of the {len(models)} models, got {len(levels)}.")
    lock_folder(work)
    worlds: list[CropWorld] = []
    learnt: list[Path] = []
    kept: list[Path] = []
    for number, (name, one) in enumerate(zip(models, levels, strict=True)):
        parts = load_pipeline_parts(resolve(name))
        files = _drawn_crops(work / "detail" / f"drawn{number}", parts, one, side, drawn, reader)
        held_files = max(1, len(files) // 4) if files else 0
        kept, learnt = kept + files[:held_files], learnt + files[held_files:]
        worlds.append(CropWorld(level=one, side=side, round_trip=RoundTripVAE(vae=parts.vae.eval())))
    torch.manual_seed(0)
    net = DetailNet()
    optimizers = make_optimizers([net], lr=train.lr, muon_marker=None)
    run = TrainingRun.of(train, work / "detail", {"net": net}, optimizers)
    make = DetailCrops(seed=71, worlds=tuple(worlds), scenes=scenes, drawn=read_crops(learnt) if learnt else None)
    for step, batch in run.batches(make, workers=train.workers):
        set_lr(optimizers, lr_at(step, train))
        loss = detail_loss(net, batch)
        norm = descend(loss, optimizers, clip=net.parameters())
        run.log(step, len(batch["crops"]), loss=loss.detach(), gradient=norm)
    rounded(net.eval())
    found = detail_board(net, replace(make, seed=72, drawn=read_crops(kept) if kept else None), held)
    print(found, flush=True)
    return save_detail(net, work / "detail.safetensors", found)


def _drawn_crops(folder: Path, parts: GlmImageParts, level: str, side: int, count: int, reader: str) -> list[Path]:
    """Files of crops that a checkpoint drew, eight pictures each; what is there already is not drawn again."""
    files = [folder / f"{number:03d}.npz" for number in range(-(-count // TOGETHER))]
    missing = [(number, file) for number, file in enumerate(files) if not file.exists()]
    if not missing:
        return files
    frozen, cpu = _frozen(parts, torch.device("cpu")), torch.device("cpu")
    readings, through = Readings(reward_reader(READERS[reader])), RoundTripVAE(vae=frozen.vae)
    for part in (parts.decoder, parts.glyph):
        part.eval().requires_grad_(False)
    source = replace(PromptWorld(level=level, side=side).source(ARReinforce(steps=1)), count=TOGETHER, spare=0, seed=73)
    for done, (number, file) in enumerate(missing, len(files) - len(missing) + 1):
        rollout = Rollout(parts=parts, sampling=sampling_of(parts), steps=DRAWN_STEPS[number % len(DRAWN_STEPS)])
        items = truth_items(rollout, frozen, replace(source, seed=source.seed + number), cpu)
        lines = readings.read([item.image for item in items])
        crops = [
            crop
            for item, read in zip(items, lines, strict=True)
            if item.target is not None
            for crop in judged_crops(item.image, through(item.target), item.ask.scene, read)
        ]
        write_crops(crops, file)
        _progress(done, len(files))
    return files


def rl_headroom(
    work: Path = Path("work/rl"),
    model: str = "nano",
    prompts: int = 24,
    samples: int = 8,
    steps: int = 10,
    guidance: float = 1.0,
    seed: int = 0,
    reader: str = "rapidocr-v4",
    world: PromptWorld = PromptWorld(),
) -> Path:
    """The best of n plans and of n noises: what there is to gain. Prints and writes `work`/headroom.json."""
    lock_folder(work)
    parts = load_pipeline_parts(resolve(model))
    for part in (parts.ar, parts.decoder, parts.glyph, parts.vae):
        part.eval().requires_grad_(False)
    source = replace(world.source(ARReinforce(steps=1)), seed=4242 + seed, count=prompts, spare=0)
    rollout = Rollout(parts=parts, sampling=sampling_of(parts), steps=steps, guidance=guidance)
    rewarding = open_reader(reader, config=ReaderConfig())
    reporting = reporting_readers(rewarding.name)[0]
    found = headroom_numbers(rollout, source(0)["asks"], samples, rewarding, reporting, seed=seed, done=_progress)
    path = work / "headroom.json"
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2), flush=True)
    return path


def _progress(done: int, total: int) -> None:
    if done == total or done % 4 == 0:
        print(f"{done} of {total} prompts", flush=True)


def _begin(work: Path, method: str, device: str, train: Reinforcing) -> tuple[Ranks, torch.device]:
    """This process among all of them; what cannot be run is refused before anything is loaded."""
    if method not in METHODS:
        raise ConfigError(f"--set method={method}: method must be one of {', '.join(METHODS)}.")
    ranks, place = start(pick_device(device or None), tensor=train.tensor)
    ranks.mine(train.asks)
    lock_folder(work)
    return ranks, place


def _loaded(checkpoint: Path, adapters: LoRA | None, place: torch.device) -> GlmImageParts:
    dtype = torch.bfloat16 if adapters is not None and place.type != "cpu" else torch.float32
    return load_pipeline_parts(checkpoint, dtype=dtype)


def _frozen(parts: GlmImageParts, place: torch.device) -> FrozenParts:
    frozen = FrozenParts(
        vae=parts.vae.eval().requires_grad_(False),
        vision=parts.ar.model.visual.eval().requires_grad_(False),
        vq=parts.ar.model.vqmodel.eval().requires_grad_(False),
        scheduler=parts.scheduler,
    )
    frozen.to(place)
    return frozen


def _plan_rewards(rewards: Rewards, parts: GlmImageParts) -> dict[str, PlanReward]:
    """Those that judge a plan as it is, which takes a checkpoint whose codes can be read."""
    if not rewards.plan:
        return {}
    if parts.code_labels is None:
        raise ConfigError(
            "rewards.plan reads plans, but this model does not tell what its semantic codes show (code_labels.json): "
            "reward its pictures, with rewards.text and rewards.facts."
        )
    return {"plan": ReadPlanReward(reader=PlanReader(parts.code_labels), limits=parts.drawing.limits)}


def _silent(_rollout: Rollout, _step: int) -> dict[str, float]:
    """What processes that only wait for the judge have in its place."""
    return {}


def _judge(folder: Path, source: PromptSource, count: int, rewards: Rewards, plans: Any = None) -> Judging:
    """Reporting readers beside the rewarding one, on prompts of their own."""
    rewarding = open_reader(rewards.reader, config=ReaderConfig())
    return Judging(
        source=source,
        count=count,
        readers=reporting_readers(rewarding.name),
        rewarding=rewarding,
        folder=folder / "judged",
        true_plans=plans,
    )


def _finish(
    work: Path,
    part: str,
    checkpoint: Path,
    model: str,
    state: dict[str, Tensor],
    adapters: LoRA | None,
    ranks: Ranks,
) -> Path:
    """Write the result, the board and what the guards say."""
    out = work / ("checkpoint" if adapters is None else "lora")
    first_does(ranks, lambda: _write(out, part, checkpoint, model, state, adapters))
    finish(ranks)
    if ranks.first:
        board = write_board(work / part, work / part / "judged")
        if board is not None:
            first, last = judged_rows(work / part)
            print(alarm_lines(first, last) or "no guard has moved out of its range", flush=True)
        print_result(out, "generate PROMPT", adapter=adapters is not None)
    return out


def _result_type(state: dict[str, Tensor]) -> torch.dtype:
    """float16 where it holds the numbers: of what 42 steps had moved bfloat16 lost two thirds (docs/log.md)."""
    largest = max(float(value.abs().max()) for value in state.values() if value.is_floating_point())
    return torch.float16 if largest <= torch.finfo(torch.float16).max else torch.bfloat16


def _write(out: Path, part: str, checkpoint: Path, model: str, state: dict[str, Tensor], adapters: LoRA | None) -> None:
    """The whole checkpoint with new weights, or the adapter alone."""
    parts = load_pipeline_parts(checkpoint, dtype=torch.float32)
    network = parts.ar if part == "ar" else parts.decoder
    if adapters is None:
        network.load_state_dict(state)
        for each in (parts.ar, parts.decoder, parts.vae, parts.glyph):
            each.to(_result_type(state) if each is network else torch.bfloat16)
        save_pipeline_parts(parts, out)
        return
    wrapped = add_lora(network, FOLDERS[part], adapters)
    AdapterState(wrapped).load_state_dict(state)
    out.mkdir(parents=True, exist_ok=True)
    save_adapter(wrapped, out / FOLDERS[part], base=model)
    join_for_diffusers(out)
