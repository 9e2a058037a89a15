"""Nano-V from nothing, in two editions: a small GLM-V that reads, counts, names and points at what pictures show.

One stage: the ViT first learns what every cell shows, then the decoder learns to answer beside it. The first edition
learns from scenes, its state in `work`/see; the second from cards, in `work`/see2: pictures of any size, things,
wrapped texts in mixed case, Chinese, and pictures that show nothing known. A killed run continues.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inkwash.data.card_questions import (
    CARD_CANVASES,
    CARD_EVERYWHERE,
    CardQuestionBatches,
    card_label_sizes,
    card_question_lines,
    character_lines,
)
from inkwash.data.loader import Batch
from inkwash.data.questions import EVERYWHERE, QuestionBatches, label_sizes, question_lines
from inkwash.models.glm.decoder import RopeParameters
from inkwash.models.glm_v import model as glm_v
from inkwash.models.glm_v.config import GlmVConfig, GlmVVisionConfig, TextConfig
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.tokenizer_files import STOPS, train_bpe, write_processor_files
from inkwash.models.glm_v.weights import GlmVParts, save_glm_v
from inkwash.recipes.trained import load_trained
from inkwash.train.checkpoint import write_result
from inkwash.train.vlm import VLMTraining, train_vlm

CPU = torch.device("cpu")
VOCABULARY, CARD_VOCABULARY = 1024, 2048
SPELLED = 200  # times the second edition's tokenizer sees every character alone, so that each becomes one token
PATCH, MERGE = 16, 2  # two by two patches are one cell of the world, which holds one letter
MIN_SIDE, MAX_SIDE = 64, 512
MAX_NEW_TOKENS = 512  # ten times its longest answer; what it has not learnt, such as JSON, it may never end


@dataclass(frozen=True, kw_only=True)
class NanoVSizes:
    """Widths and depths of a small GLM-V; the inner width of the ViT's blocks is that of the decoder."""

    vision_depth: int
    vision_width: int
    vision_heads: int
    merger: int
    width: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    mrope_section: tuple[int, int, int]
    image_size: int = 256

    @property
    def vision(self) -> GlmVVisionConfig:
        return GlmVVisionConfig(
            depth=self.vision_depth,
            hidden_size=self.vision_width,
            num_heads=self.vision_heads,
            out_hidden_size=self.width,
            intermediate_size=self.merger,
            image_size=self.image_size,
            patch_size=PATCH,
            spatial_merge_size=MERGE,
        )


FIRST = NanoVSizes(
    vision_depth=3,
    vision_width=128,
    vision_heads=4,
    merger=512,
    width=256,
    inner=512,
    layers=5,
    heads=4,
    kv_heads=2,
    mrope_section=(4, 6, 6),
)
SECOND = NanoVSizes(
    vision_depth=5,
    vision_width=192,
    vision_heads=4,
    merger=576,
    width=288,
    inner=608,
    layers=7,
    heads=6,
    kv_heads=2,
    mrope_section=(4, 4, 4),
    image_size=512,
)


def config(processor: GlmVProcessor, sizes: NanoVSizes = FIRST) -> GlmVConfig:
    """A configuration of the given sizes around the ids of its tokenizer."""
    stops = tuple(processor.token_id(token) for token in STOPS)
    text = TextConfig(
        vocab_size=processor.tokenizer.get_vocab_size(),
        hidden_size=sizes.width,
        intermediate_size=sizes.inner,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        rope_parameters=RopeParameters(partial_rotary_factor=0.5, mrope_section=sizes.mrope_section),
        max_position_embeddings=32768,
        pad_token_id=stops[0],
        eos_token_id=stops,
    )
    names = {
        "image_token_id": "<|image|>",
        "video_token_id": "<|video|>",
        "image_start_token_id": "<|begin_of_image|>",
        "image_end_token_id": "<|end_of_image|>",
        "video_start_token_id": "<|begin_of_video|>",
        "video_end_token_id": "<|end_of_video|>",
    }
    ids: dict[str, Any] = {name: processor.token_id(token) for name, token in names.items()}
    return GlmVConfig(model_type="glm4v", text_config=text, vision_config=sizes.vision, **ids)


def write_nano_v_processor(work: Path) -> GlmVProcessor:
    """Train the BPE of the first edition on questions and answers once, and write the files beside it."""
    return _write_processor(work / "see", lambda: question_lines(random.Random("bpe"), 20000), VOCABULARY)


def write_nano_v2_processor(work: Path, lines: int = 20000) -> GlmVProcessor:
    """The same for the second edition, where every quoted character is a token of its own."""
    return _write_processor(work / "see2", lambda: _card_lines(lines), CARD_VOCABULARY, spelled=True)


def _card_lines(count: int) -> Iterator[str]:
    yield from card_question_lines(random.Random("bpe"), count)
    yield from (line for line in character_lines() for _ in range(SPELLED))


def _write_processor(
    stage: Path, lines: Callable[[], Iterable[str]], vocabulary: int, *, spelled: bool = False
) -> GlmVProcessor:
    """Pictures are scaled, with their aspect kept, to an area between those of `MIN_SIDE` and `MAX_SIDE` squared."""
    folder = stage / "processor"
    if not (folder / "tokenizer.json").exists():
        bpe = train_bpe(lines(), vocab_size=vocabulary, spelled=spelled)
        write_processor_files(
            folder, bpe, patch_size=PATCH, merge_size=MERGE, min_pixels=MIN_SIDE**2, max_pixels=MAX_SIDE**2
        )
    return GlmVProcessor.from_folder(folder)


def new_model(processor: GlmVProcessor, sizes: NanoVSizes = FIRST) -> GlmV:
    """A fresh network."""
    model = GlmV(config(processor, sizes))
    glm_v.init_weights(model)
    return model


def train_nano_v(
    work: Path,
    steps: int = 11500,
    language_from: int = 1750,
    batch: int = 6,
    lr: float = 1e-3,
    ema: float = 0.998,
) -> None:
    """Train the whole network: `work`/see/see.pt. A finished run goes on when it is asked for more steps."""
    torch.manual_seed(0)
    processor = write_nano_v_processor(work)
    model = new_model(processor)
    make = QuestionBatches(seed=8, batch=batch, talk_from=language_from)
    settings = VLMTraining(steps=steps, language_from=language_from, lr=lr, ema=ema)
    train_to_file(model, processor, label_sizes(), make, work / "see", settings)


def train_nano_v2(
    work: Path,
    steps: int = 40000,
    language_from: int = 4000,
    batch: int = 6,
    lr: float = 1e-3,
    ema: float = 0.998,
    chinese: float = 0.25,
    canvases: tuple[tuple[int, int], ...] = CARD_CANVASES,
    sizes: NanoVSizes = SECOND,
) -> None:
    """Train the whole network: `work`/see2/see.pt. A finished run goes on when it is asked for more steps."""
    torch.manual_seed(0)
    processor = write_nano_v2_processor(work)
    model = new_model(processor, sizes)
    make = CardQuestionBatches(seed=9, batch=batch, chinese=chinese, canvases=canvases, talk_from=language_from)
    settings = VLMTraining(steps=steps, language_from=language_from, lr=lr, ema=ema)
    train_to_file(model, processor, card_label_sizes(), make, work / "see2", settings, CARD_EVERYWHERE)


def train_to_file(
    model: GlmV,
    processor: GlmVProcessor,
    labels: dict[str, int],
    make: Callable[[int], Batch],
    folder: Path,
    settings: VLMTraining,
    everywhere: Collection[str] = EVERYWHERE,
    tokens: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Train, then write `folder`/see.pt."""
    train_vlm(model, processor, labels, make, folder, settings, device=CPU, everywhere=everywhere, tokens=tokens)
    write_result(folder / "see.pt", model.state_dict())


def export_nano_v(work: Path, output: Path) -> Path:
    """Write the checkpoint in bf16, from the finished stage or from the running average of an unfinished one."""
    processor = write_nano_v_processor(work)
    return export_trained(new_model(processor), processor, work / "see", output, "nano-v")


def export_nano_v2(work: Path, output: Path, sizes: NanoVSizes = SECOND) -> Path:
    """Write the second edition in bf16, from the finished stage or from the running average of an unfinished one."""
    processor = write_nano_v2_processor(work)
    return export_trained(new_model(processor, sizes), processor, work / "see2", output, "nano-v2")


def export_trained(model: GlmV, processor: GlmVProcessor, folder: Path, output: Path, recipe: str) -> Path:
    """Fill a network with what a stage has trained in `folder`, and write its checkpoint in bf16."""
    load_trained(folder / "see.pt", recipe, {"model": model.requires_grad_(True)})
    stops = [processor.token_id(token) for token in STOPS]
    generation = {
        "do_sample": False,
        "max_new_tokens": MAX_NEW_TOKENS,
        "eos_token_id": stops,
        "pad_token_id": stops[0],
    }
    parts = GlmVParts(model=model, processor=processor, generation=generation)
    return save_glm_v(parts, output, dtype=torch.bfloat16)
