"""The nano agent: nano-v goes on learning on panels, until it operates them (`runs/agent.sh`).

`nano_agent_pages` has a browser draw panels in states along the way of someone who knows them; `nano_agent` trains
on them, beside questions about what the model knew before: scenes (nano-v) or cards (its second edition);
`export_nano_agent` writes the checkpoint. Every stage goes on where it was stopped. The format is that of 4.5V for
computers, with the short prompt (`agent/prompt.py`). The tokenizer is the model's own, but spells what stands in
quotation marks, small letters, too, so that words that were never trained on are strings of known tokens.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from inkwash.agent.worlds.panels import PanelWorld
from inkwash.agent.worlds.teaching import PanelTeacher, WordTeacher, chunk_size, drawn, reading_pages
from inkwash.core.errors import ConfigError
from inkwash.core.files import write_json
from inkwash.data.card_questions import CardQuestionBatches
from inkwash.data.loader import Batch
from inkwash.data.panel_pages import (
    GLYPHS,
    LARGEST_AREA,
    PANEL_LABELS,
    READING,
    SPELLING,
    PanelBatches,
    chunk_path,
    write_chunk,
)
from inkwash.data.questions import QuestionBatches
from inkwash.models.glm_image.processor import pre_tokenizer
from inkwash.models.glm_v.folder import resolve_vision
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.weights import load_glm_v
from inkwash.recipes.nano_v import export_trained, train_to_file
from inkwash.train.vlm import VLMTraining

PAGES_A_CHUNK = 64
POINTER, ALIKE = 0.5, 0.5  # weights of the losses that lead to what is asked for (`train/vlm.py`)


def nano_agent_pages(work: Path, pages: int = 8192, reading: int = 4096, seed: int = 0) -> Path:
    """Draw `pages` pictures of panels, and `reading` of pages full of words: `work`/agent/pages.

    They lie in chunks of one size; chunks that are there stay.
    """
    folder = work / "agent" / "pages"
    (folder / READING).mkdir(parents=True, exist_ok=True)
    kinds = ((folder / READING, reading, reading_pages), (folder, pages, drawn))
    missing = [(place, number, draw) for place, count, draw in kinds for number in _missing(place, count)]
    if not missing:
        return folder
    with PanelWorld() as world:
        for place, number, draw in missing:
            rng = random.Random(f"agent {place.name} {seed} {number}")
            pixels: list[Any] = []
            facts: list[dict[str, Any]] = []
            while len(facts) < PAGES_A_CHUNK:
                for picture, fact in draw(world, rng, chunk_size(number)):
                    pixels.append(picture)
                    facts.append(fact)
            write_chunk(chunk_path(place, number), pixels[:PAGES_A_CHUNK], facts[:PAGES_A_CHUNK])
    return folder


def _chunks(pages: int) -> int:
    return -(-pages // PAGES_A_CHUNK)


def _missing(folder: Path, pages: int) -> list[int]:
    """The chunks of so many pages that are not drawn yet."""
    return [number for number in range(_chunks(pages)) if not chunk_path(folder, number).exists()]


def nano_agent(
    work: Path,
    model: str = "nano-v",
    pages: int = 8192,
    reading: int = 4096,
    steps: int = 11000,
    language_from: int = 4000,
    act_from: int = 6500,
    batch: int = 4,
    lr: float = 1e-3,
    questions: float = 0.2,
    knows: str = "scenes",
    precision: str = "auto",
) -> None:
    """Train a checkpoint that sees on panels: `work`/agent/see.pt. A finished run goes on when asked for more steps.

    Before `language_from` the ViT alone learns, mostly to read `reading` pages full of words; before `act_from` the
    whole model learns, mostly to find words on them; from then on, mostly to act on panels.
    knows: what it was trained on before, which a share `questions` of the batches asks about: scenes (nano-v) or cards
    (nano-v2). precision: auto measures, bf16 or fp32 stay the same when a run is continued.
    """
    folder = work / "agent"
    drawn_to = folder / "pages"
    if missing := len(_missing(drawn_to, pages)) + len(_missing(drawn_to / READING, reading)):
        raise ConfigError(
            f"{missing} of {_chunks(pages) + _chunks(reading)} chunks of pages are not drawn yet: run "
            "inkwash train nano-agent-pages first."
        )
    torch.manual_seed(0)
    parts = load_glm_v(resolve_vision(model), dtype=torch.float32)
    make = PanelBatches(
        folder=drawn_to,
        chunks=_chunks(pages),
        reading=_chunks(reading),
        seed=11,
        batch=batch,
        tell=PanelTeacher(),
        tell_words=WordTeacher(),
        questions=questions,
        talk_from=language_from,
        act_from=act_from,
        asked=_questions(knows, batch, language_from),
    )
    settings = VLMTraining(
        steps=steps,
        language_from=language_from,
        lr=lr,
        precision=precision,
        zero_heads=True,
        pointer=POINTER,
        alike=ALIKE,
    )
    parts.model.requires_grad_(True)
    processor = write_agent_processor(parts.processor, folder / "processor")
    tokens = {key: [processor.token_id(letter) for letter in GLYPHS] for key in SPELLING}
    train_to_file(parts.model, processor, PANEL_LABELS, make, folder, settings, everywhere=(), tokens=tokens)


def _questions(knows: str, batch: int, talk_from: int) -> Callable[[int], Batch]:
    kinds = {"scenes": QuestionBatches, "cards": CardQuestionBatches}
    if knows not in kinds:
        raise ConfigError(f"knows is {knows!r}, but must be one of {', '.join(kinds)}.")
    return kinds[knows](seed=12, batch=batch, talk_from=talk_from)


def export_nano_agent(work: Path, output: Path, model: str = "nano-v") -> Path:
    """Write the checkpoint in bf16, from the finished stage or from the running average of an unfinished one."""
    parts = load_glm_v(resolve_vision(model), dtype=torch.float32)
    processor = write_agent_processor(parts.processor, work / "agent" / "processor")
    return export_trained(parts.model, processor, work / "agent", output, "nano-agent")


def write_agent_processor(processor: GlmVProcessor, folder: Path) -> GlmVProcessor:
    """A model's processor that spells quoted texts and leaves an enlarged screenshot its size."""
    processor.save(folder)
    tokenizer = Tokenizer.from_str(processor.tokenizer.to_str())
    tokenizer.pre_tokenizer = pre_tokenizer(spelled=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    file = folder / "preprocessor_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    frames = processor.pictures.temporal_patch_size
    settings["size"]["longest_edge"] = max(settings["size"]["longest_edge"], frames * LARGEST_AREA)
    write_json(file, settings)
    return GlmVProcessor.from_folder(folder)
