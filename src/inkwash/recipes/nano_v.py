"""Nano-V from nothing: a small GLM-V that reads, counts, names and points at what scenes show, and its export.

One stage: the ViT first learns what every cell shows, then the decoder learns to answer beside it. State lies in
`work`/see; a killed run continues.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inkwash.data.questions import QuestionBatches, label_sizes, question_lines
from inkwash.models.glm.decoder import RopeParameters
from inkwash.models.glm_v import model as glm_v
from inkwash.models.glm_v.config import GlmVConfig, GlmVVisionConfig, TextConfig
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.tokenizer_files import STOPS, train_bpe, write_processor_files
from inkwash.models.glm_v.weights import GlmVParts, save_glm_v
from inkwash.train.vlm import VLMTraining, train_vlm

CPU = torch.device("cpu")
VOCABULARY = 1024
PATCH, MERGE = 16, 2  # two by two patches are one cell of the world, which holds one letter
MIN_SIDE, MAX_SIDE = 64, 512


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
    """Train the BPE on questions and answers once, and write the files beside it."""
    folder = work / "see" / "processor"
    if not (folder / "tokenizer.json").exists():
        bpe = train_bpe(question_lines(random.Random("bpe"), 20000), vocab_size=VOCABULARY)
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
    train_vlm(model, processor, label_sizes(), make, work / "see", settings, device=CPU)
    torch.save(model.state_dict(), work / "see" / "see.pt")


def export_nano_v(work: Path, output: Path) -> Path:
    """Write the checkpoint in bf16, from the finished stage or from the running average of an unfinished one."""
    processor = write_nano_v_processor(work)
    return export_trained(new_model(processor), processor, work / "see", output)


def export_trained(model: GlmV, processor: GlmVProcessor, folder: Path, output: Path) -> Path:
    """Fill a network with what a stage has trained in `folder`, and write its checkpoint in bf16."""
    finished = folder / "see.pt"
    if finished.exists():
        model.load_state_dict(torch.load(finished, weights_only=True))
    else:
        state = torch.load(folder / "state.pt", weights_only=True)
        model.load_state_dict(state["modules"]["model"])
        with torch.no_grad():
            for parameter, average in zip(model.parameters(), state["ema"]["shadow"], strict=True):
                parameter.copy_(average)
    stops = [processor.token_id(token) for token in STOPS]
    generation = {"do_sample": False, "eos_token_id": stops, "pad_token_id": stops[0]}
    parts = GlmVParts(model=model, processor=processor, generation=generation)
    return save_glm_v(parts, output, dtype=torch.bfloat16)
