"""Reinforce the half that sees: RLCS, the curriculum sampling of GLM-V (arXiv 2507.01006), with the same token loss.

Questions are drawn by tiers of difficulty, more of them than are learnt from; each is answered several times by a
replica, marked right or wrong, and those whose answers are most balanced are kept. Thoughts that run out of budget are
ended, and what was put in for that does not count in the loss. No penalty and no entropy bonus; every answer counts
alike, however long it is.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inkwash.core.seeds import make_generator
from inkwash.data.loader import Batch
from inkwash.engine.sampling import PLAIN
from inkwash.engine.see.generator import AnswerGenerator, AnswerRecord, Budget
from inkwash.engine.see.pipeline import GlmVisionPipeline
from inkwash.eval.tasks.questions import Reply, mark
from inkwash.models.glm_v.answer import split_answer
from inkwash.models.glm_v.boxes import find_boxes
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.weights import GlmVParts
from inkwash.rl.curriculum import Curriculum, most_balanced
from inkwash.rl.loop import Reinforcing, advantages_of, gathered
from inkwash.rl.policy import TrainedPolicy
from inkwash.rl.prompts import digest
from inkwash.rl.questions import SeeAsk, choose_asks, offline_hardness
from inkwash.rl.replica import PolicyReplica
from inkwash.rl.tokens import TokenPart, token_updates
from inkwash.train.config import equal_parts
from inkwash.train.device import autocast, to_device
from inkwash.train.lora import LoRA
from inkwash.train.optim import lr_at, set_lr
from inkwash.train.parallel import Ranks
from inkwash.train.sft import SftBatch, SftExample, collate

RLCS, UNIFORM = "rlcs", "uniform"


@dataclass(frozen=True, kw_only=True)
class SeeReinforce(Reinforcing):
    """Settings of the stage; `choose` is rlcs, or uniform for a comparison. `thinking` tokens of thoughts at most."""

    lr: float = 1e-5
    asks: int = 16
    spare: int = 48
    clip_low: float = 0.2
    clip_high: float = 0.28
    choose: str = RLCS
    max_new_tokens: int = 96
    thinking: int = 64
    per_sample: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(f"{RLCS} or {UNIFORM}", (RLCS, UNIFORM).__contains__, "choose")
        self._require("above 0 and below 1", lambda value: 0 < value < 1, "clip_low")
        self._require("above 0", lambda value: value > 0, "clip_high")
        self._require("at least 1", lambda value: value >= 1, "max_new_tokens")
        self._require("at least 0", lambda value: value >= 0, "thinking")


@dataclass(frozen=True, kw_only=True)
class SampledAnswer:
    """One answer: its tokens behind the prompt, which of them were put in, and whether it is right."""

    example: SftExample
    forced_places: tuple[int, ...]
    right: bool
    forced: bool


class CurriculumState(nn.Module):
    """The curriculum as part of a run's state."""

    def __init__(self) -> None:
        super().__init__()
        self.value = Curriculum()

    def state_dict(self, *_: Any, **_named: Any) -> dict[str, Any]:  # type: ignore[override]
        """The fields as bytes of JSON."""
        text = json.dumps(asdict(self.value)).encode()
        return {"json": torch.frombuffer(bytearray(text), dtype=torch.uint8).clone()}

    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **_named: Any) -> Any:
        """The same from them."""
        fields = json.loads(bytes(state_dict["json"].tolist()))
        tuples = {name: tuple(fields[name]) for name in ("tiers", "weights")}
        self.value = Curriculum(**{**fields, **tuples})

    def observe(
        self, asks: Sequence[SeeAsk], right: Sequence[int], grades: Mapping[str, float], group: int, ranks: Ranks
    ) -> list[int]:
        """Take in how many of `group` answers to each question were right; returns those counts of all processes."""
        drawn = [(ask.cell, tier_of_ask(self.value, ask, grades)) for ask in asks]
        table, places, _ = gathered(ranks, np.array(right, dtype=np.float64)[:, None], drawn)
        counts = [int(n) for n in table[:, 0]]
        cells: list[Any] = places
        self.value = self.value.observe([cell for cell, _ in cells], [tier for _, tier in cells], counts, group)
        return counts


def grpo_see(
    parts: GlmVParts,
    make: Callable[[int], Batch],
    folder: Path,
    config: SeeReinforce,
    *,
    device: torch.device,
    lora: LoRA | None = None,
    ranks: Ranks = Ranks(),  # noqa: B008 (frozen)
    grades: dict[str, float] | None = None,
) -> dict[str, Tensor]:
    """Run or continue the stage; returns the averaged weights (of the adapter, with `lora`).

    `make` gives {"asks": a pool}; `grades` are pass rates of cells measured beforehand. Every process holds the whole
    network and answers its share of the questions.
    """
    model = parts.model.train().requires_grad_(True).to(device)
    model.model.visual.requires_grad_(False)
    replica = PolicyReplica(model, shared=(model.model.visual,), dtype=None if device.type == "cpu" else torch.bfloat16)
    part = "glm_v_tied" if model.config.tie_word_embeddings else "glm_v"
    policy, curriculum = TrainedPolicy(model, part, config, lora, ranks), CurriculumState()
    run = policy.run(folder, {"curriculum": curriculum}, device, replicated=True)
    grades = grades or {}
    pad_id = model.config.text_config.pad_token_id or 0
    rolling = GlmVParts(model=replica.network, processor=parts.processor, generation=parts.generation)
    eyes = GlmVisionPipeline(rolling, conversations=0)
    logps_of = partial(answer_logps, model, device=device, precision=config.precision_on(device))
    for step, batch in run.batches(make, workers=config.workers):
        set_lr(policy.optimizers, lr_at(step, config))
        replica.refresh(policy.whole())
        speaker = AnswerGenerator(replica.network, parts.processor, rolling.stop_ids, conversations=1)
        mine = own_asks(batch["asks"], curriculum.value, grades, config, ranks, step)
        answers = [answer_group(eyes, speaker, ask, config) for ask in mine]
        right = [sum(answer.right for answer in group) for group in answers]
        chosen = most_balanced(right, config.group, config.asks // ranks.data)
        counts = curriculum.observe(mine, right, grades, config.group, ranks)
        kept = [answer for i in chosen for answer in answers[i]]
        names = [mine[i].key for i in chosen for _ in range(config.group)]
        rewards, all_names, local = gathered(ranks, np.array([[float(one.right)] for one in kept]), names)
        found = advantages_of(rewards, all_names, config, [1.0], step)
        tokens = [
            answer_part(kept[cut], found.values[local][cut], found.kept[local][cut], pad_id)
            for cut in equal_parts(len(kept), config.minibatches * config.accumulate)
        ]
        with torch.no_grad():
            tokens = [rolled_by(replica.network, one, device) for one in tokens]
        numbers = token_updates(tokens, logps_of, policy.trained, policy.optimizers, config, ranks)
        policy.ema.update()
        forced = [answer.forced for group in answers for answer in group]
        run.log(
            step,
            len(rewards),
            **numbers,
            right=sum(counts) / (config.group * len(counts)),
            not_valid=sum(n in (0, config.group) for n in counts) / len(counts),
            expansion=curriculum.value.ratio or 1.0,
            asked=float(len(counts)),
            zero_variance=found.zero_variance_share,
            forced=sum(forced) / len(forced),
            **{f"tier_{i}": -1.0 if rate is None else rate for i, rate in enumerate(curriculum.value.tiers)},
        )
    return policy.averaged_weights()


def own_asks(
    pool: Sequence[SeeAsk],
    curriculum: Curriculum,
    grades: Mapping[str, float],
    config: SeeReinforce,
    ranks: Ranks,
    step: int,
) -> list[SeeAsk]:
    """This process's share of a step's questions."""
    rng = random.Random(f"ask/{config.seed}/{step}")
    state = Curriculum() if config.choose == UNIFORM else curriculum
    asks = choose_asks(pool, state, grades, config.asks, rng)
    return asks[: len(asks) // ranks.data * ranks.data][ranks.rank :: ranks.data]


def tier_of_ask(curriculum: Curriculum, ask: SeeAsk, grades: Mapping[str, float]) -> int:
    """The tier that a question was drawn from."""
    return curriculum.tier(ask.cell, offline_hardness(grades, ask))


def grade_cells(
    parts: GlmVParts, asks: Sequence[SeeAsk], config: SeeReinforce, done: Callable[[int, int], None] | None = None
) -> dict[str, float]:
    """Pass rates of the start by cell: `group` answers to each of these questions."""
    eyes = GlmVisionPipeline(parts, conversations=0)
    speaker = AnswerGenerator(parts.model, parts.processor, parts.stop_ids, conversations=1)
    rates: dict[str, list[float]] = {}
    for number, ask in enumerate(asks):
        answers = answer_group(eyes, speaker, ask, config)
        rates.setdefault(ask.cell, []).append(sum(answer.right for answer in answers) / len(answers))
        if done is not None:
            done(number + 1, len(asks))
    return {cell: sum(cell_rates) / len(cell_rates) for cell, cell_rates in rates.items()}


def answer_group(
    eyes: GlmVisionPipeline, speaker: AnswerGenerator, ask: SeeAsk, config: SeeReinforce
) -> list[SampledAnswer]:
    """`group` answers to one question, whose prompt is read once."""
    content = [{"type": "image", "image": ask.picture}, {"type": "text", "text": ask.turn.question}]
    prompt = eyes.prepare([{"role": "user", "content": content}])
    budget = Budget(max_new_tokens=config.max_new_tokens, thinking=config.thinking)
    found = []
    for number in range(config.group):
        run = AnswerRecord(prompt=prompt)
        generator = make_generator(digest("answer", config.seed, ask.key, number))
        for _ in speaker.generate(run, PLAIN, budget, generator):
            pass
        target = torch.tensor(run.ids, dtype=torch.long)
        places = prompt.next_position + torch.arange(len(target))
        example = SftExample(
            ids=torch.cat([prompt.ids, target]),
            modality=torch.cat([prompt.modality, torch.zeros_like(target)]),
            positions=torch.cat([prompt.positions, places.expand(3, -1)], dim=1),
            n_target=len(target),
            patches=prompt.patches,
            grids=prompt.grids,
        )
        right = run.finish == "stop" and mark(ask.turn, reply_of(run.text))
        found.append(
            SampledAnswer(example=example, forced_places=tuple(run.forced_places), right=right, forced=run.forced)
        )
    return found


def reply_of(text: str) -> Reply:
    """An answer as the marks read it."""
    answer = split_answer(text)
    boxes = [(box.left, box.top, box.right, box.bottom) for box in find_boxes(text)]
    return Reply(answer.answer, boxes, answer.thoughts)


def answer_part(answers: Sequence[SampledAnswer], advantages: Any, kept: Any, pad_id: int) -> TokenPart:
    """Answers as the network learns them; tokens that were put in are left out, and each answer weighs one in all."""
    rows = collate([answer.example for answer in answers], pad_id)
    choices, advantage, weight = [], [], []
    for answer, value, counts in zip(answers, advantages.tolist(), kept.tolist(), strict=True):
        chosen = torch.ones(answer.example.n_target, dtype=torch.bool)
        chosen[list(answer.forced_places)] = False
        choices.append(chosen)
        n_chosen = int(chosen.sum())
        advantage.append(torch.full((n_chosen,), float(value)))
        weight.append(torch.full((n_chosen,), float(counts) / max(1, n_chosen)))
    choice = torch.cat(choices)
    targets = rows.ids.roll(-1, dims=1)[rows.weight > 0]
    return TokenPart(
        rows=rows,
        choice=choice.nonzero()[:, 0],
        tokens=targets[choice],
        ids=None,
        there=None,
        rolled=torch.zeros(int(choice.sum())),
        advantage=torch.cat(advantage),
        weight=torch.cat(weight),
        samples=len(answers),
        counted=len(choice),
    )


def answer_logps(model: GlmV, part: TokenPart, device: torch.device, precision: str) -> tuple[Tensor, Tensor]:
    """Log-probabilities (n,) and entropies of the chosen tokens over the whole vocabulary."""
    rows: SftBatch = part.rows
    with autocast(device, precision):
        features = None
        if rows.patches is not None:
            with torch.no_grad():
                features = model.see(to_device(rows.patches, device), rows.grids)
        hidden = model(
            rows.ids.to(device), rows.positions.to(device), features=features, modality=rows.modality.to(device)
        )
        logits = model.lm_head(hidden[rows.weight.to(device) > 0][part.choice.to(device)])
    logps = logits.float().log_softmax(-1)
    entropy = -(logps.exp() * logps).sum(-1)
    return logps.gather(1, part.tokens.to(device)[:, None])[:, 0], entropy


def rolled_by(replica: GlmV, part: TokenPart, device: torch.device) -> TokenPart:
    """The part with the replica's own log-probabilities, which the policy's are held against."""
    return replace(part, rolled=answer_logps(replica, part, device, "fp32")[0].cpu())
