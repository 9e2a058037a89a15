"""Fine-tuning of a model that sees: `inkwash train see-finetune --set data=FILE [--set key=value ...]`.

`data` is a file of conversations in LLaMA-Factory's format (docs/glm-v.md). Every example is looked at before the
first step; what cannot be used is listed in `work`/skipped.txt. The result is a LoRA in the PEFT file format in
`work`/lora, for `inkwash describe --lora`; with `--set method=full` a whole checkpoint in `work`/checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from inkwash.core.device import pick_device
from inkwash.core.errors import ConfigError, DataError, InkwashError
from inkwash.data.conversations import SkippedExample, TrainingConversation, read_conversations
from inkwash.data.loader import Batch
from inkwash.data.sampler import ShardSampler
from inkwash.engine.see.media import MediaRules, read_media
from inkwash.models.glm_v.folder import resolve_vision
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.weights import load_glm_v, save_glm_v
from inkwash.recipes.trained import print_result
from inkwash.train.lock import lock_folder
from inkwash.train.lora import LoRA, save_adapter
from inkwash.train.parallel import single_process_only
from inkwash.train.see_finetune import SeeTuning, tune_vision
from inkwash.train.sft import SftExample, history, make_example, target_of

METHODS = ("lora", "full")
AnswerIndex = tuple[int, int]  # conversation, message


def see_finetune() -> SeeFinetune:
    """A model that sees learns from conversations: a LoRA, or the whole checkpoint."""
    return SeeFinetune()


@dataclass(frozen=True, kw_only=True)
class SeeFinetune:
    """A fine-tuning run.

    `max_tokens` of one conversation (0: the checkpoint's context), `max_pixels` of one picture, `fps` and `max_frames`
    of videos (0: the checkpoint's own); above `max_skipped`, a share of the examples, nothing is trained.
    """

    work: Path = Path("work/see-finetune")
    data: Path = Path()
    model: str = "nano-v"
    method: str = "lora"
    device: str = ""
    max_tokens: int = 0
    max_pixels: int = 0
    fps: float = 0.0
    max_frames: int = 0
    max_skipped: float = 0.1
    seed: int = 0
    lora: LoRA = field(default_factory=LoRA)
    see: SeeTuning = field(default_factory=SeeTuning)

    def run(self) -> Path:
        """Check all examples, learn every answer in them, write the result; returns its folder."""
        self._check()
        place = pick_device(self.device or None)
        lock_folder(self.work)
        conversations, broken = read_conversations(self.data)
        adapters = self.lora if self.method == "lora" else None
        dtype = torch.bfloat16 if adapters is not None and place.type != "cpu" else torch.float32
        parts = load_glm_v(resolve_vision(self.model), dtype=dtype)
        longest = parts.model.config.text_config.max_position_embeddings
        batches = SftBatches(
            conversations=conversations,
            processor=parts.processor,
            rules=MediaRules(fps=self.fps or None, max_frames=self.max_frames or None),
            batch=self.see.batch,
            seed=self.seed,
            max_pixels=self.max_pixels or None,
            max_tokens=min(self.max_tokens or longest, longest),
        )
        broken += batches.check()
        self._report(len(conversations), batches.spots, broken)
        torch.manual_seed(self.seed)
        tuned = tune_vision(parts.model, batches, self.work / "see", self.see, device=place, lora=adapters)
        if adapters is not None:
            out = save_adapter(tuned, self.work / "lora", base=self.model)
        else:
            parts.model.cpu()
            out = save_glm_v(parts, self.work / "checkpoint", dtype=torch.bfloat16)
        print_result(out, "describe FILE", adapter=adapters is not None)
        return out

    def _check(self) -> None:
        """When all settings are there: one may be set after another that needs it."""
        if self.data == Path():
            raise ConfigError("Fine-tuning needs data: add --set data=FILE, a .json or .jsonl file of conversations.")
        if self.method not in METHODS:
            raise ConfigError(f"--set method={self.method}: method must be one of {', '.join(METHODS)}.")
        if self.method == "lora" and self.see.vision:
            raise ConfigError("--set see.vision=true needs --set method=full: adapters leave the ViT alone.")
        single_process_only("fine-tuning of a model that sees")

    def _report(self, read: int, spots: Sequence[AnswerIndex], broken: Sequence[SkippedExample]) -> None:
        """Say what is learnt and what is not, and refuse a data set of which too little is left."""
        self.work.mkdir(parents=True, exist_ok=True)
        listed = self.work / "skipped.txt"
        listed.write_text("".join(f"{one}\n" for one in broken), encoding="utf-8")
        usable = len({number for number, _ in spots})
        total = max(read, len(broken) + usable)
        print(f"{usable} conversations with {len(spots)} answers to learn, {len(broken)} skipped", flush=True)
        for one in broken[:3]:
            print(f"  skipped {one}", flush=True)
        if len(broken) > 3:
            print(f"  and {len(broken) - 3} more: {listed}", flush=True)
        if not spots:
            raise DataError(f"{self.data} holds no conversation that can be used: {listed} says why.")
        if len(broken) > self.max_skipped * total:
            raise DataError(
                f"{len(broken)} of {total} conversations cannot be used, more than max_skipped={self.max_skipped:g}: "
                f"{listed} says why."
            )


@dataclass(eq=False, kw_only=True)
class SftBatches:
    """Batch number n of a data set, for `data.loader.step_batches`: {"examples", "prompts"}."""

    conversations: Sequence[TrainingConversation]
    processor: GlmVProcessor
    rules: MediaRules
    batch: int
    seed: int
    max_pixels: int | None
    max_tokens: int
    spots: list[AnswerIndex] = field(default_factory=list, init=False)

    def check(self) -> list[SkippedExample]:
        """Look at everything once; the answers that can be learnt are then in `spots`, the others are returned."""
        broken: list[SkippedExample] = []
        self.spots = []
        for number, conversation in enumerate(self.conversations):
            try:
                examples = [self.example((number, place)) for place in conversation.answers]
                longest = max(len(example.ids) for example in examples)
                if longest > self.max_tokens:
                    raise DataError(f"it takes {longest} tokens, more than the {self.max_tokens} of max_tokens")
            except InkwashError as error:
                broken.append(SkippedExample(conversation.where, error.message))
                continue
            self.spots += [(number, place) for place in conversation.answers]
        return broken

    def example(self, index: AnswerIndex) -> SftExample:
        """One answer of a conversation."""
        conversation, place = self.conversations[index[0]], index[1]
        target = target_of(dict(conversation.messages[place]), self.processor.style)
        before = history(conversation.messages[:place])
        seen = read_media(before, self.processor.sampling, self.rules)
        prompt = self.processor.prepare(
            seen.messages,
            images=seen.images,
            videos=seen.videos,
            tools=conversation.tools,
            enable_thinking=target.enable_thinking,
            max_pixels=self.max_pixels,
        )
        return make_example(self.processor, prompt, target.text)

    @cached_property
    def order(self) -> ShardSampler:
        """Which answers each step sees; ask after `check`."""
        return ShardSampler(counts={"all": [len(self.spots)]}, batches={"all": self.batch}, seed=self.seed)

    def __call__(self, step: int) -> Batch:
        spots = [self.spots[place] for _, place in self.order.turn(step).spots]
        names = [self.conversations[number].where for number, _ in spots]
        return {"examples": [self.example(index) for index in spots], "prompts": names}
