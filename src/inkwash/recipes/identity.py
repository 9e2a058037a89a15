"""The example of fine-tuning: pictures of a shape that nano has never seen, and whether it then draws it.

`identity-pictures` writes a folder as a user would bring it, `finetune` learns from it, `identity-score` draws held-out
prompts with and without the adapter and lays both beside each other. `runs/finetune.sh` is the whole way.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from PIL import Image

from inkwash.core.errors import MissingExtraError
from inkwash.data.identity import Identity, write_pictures
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.eval.ocr import Reader
from inkwash.eval.tasks.identity import score_identity
from inkwash.train.parallel import single_process_only


def identity_pictures(
    output: Path = Path("work/identity/pictures"),
    count: int = 20,
    identity: Identity = Identity(),  # noqa: B008 (frozen)
) -> Path:
    """Write `count` pictures with captions."""
    single_process_only("recipe identity-pictures")
    folder = write_pictures(output, identity, count)
    print(f"{count} pictures of a {identity.color} {identity.shape} in {folder}", flush=True)
    return folder


def identity_score(
    work: Path = Path("work/identity"),
    model: str = "nano",
    count: int = 16,
    steps: int = 12,
    seed: int = 0,
    weight: float = 1.0,
    identity: Identity = Identity(),  # noqa: B008
) -> dict[str, object]:
    """Draw `count` held-out prompts before and after; writes `work`/score.json and `work`/before_after.png."""
    single_process_only("recipe identity-score")
    cases = identity.scenes(count, "held_out", seed)
    pipe = GlmImagePipeline.from_pretrained(model)
    try:
        reader = Reader()
        read = reader.texts
    except MissingExtraError as error:
        print(f"{error} The words are not read.", flush=True)
        read = None
    rows, scores = [], {}
    for name in ("before", "after"):
        if name == "after":
            pipe.set_adapters([pipe.load_lora_weights(work / "lora")], weight)
        images = [_draw(pipe, case[1].prompt, steps, seed + i) for i, case in enumerate(cases)]
        score = score_identity(images, cases, read)
        print(f"{name}: {score}", flush=True)
        rows.append(images)
        scores[name] = dataclasses.asdict(score)
    _sheet(rows).save(work / "before_after.png")
    result: dict[str, object] = {
        "prompts": [case[1].prompt for case in cases],
        "weight": weight,
        "steps": steps,
        **scores,
    }
    (work / "score.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return result


def _draw(pipe: GlmImagePipeline, prompt: str, steps: int, seed: int) -> Image.Image:
    made = pipe(
        prompt=prompt,
        height=256,
        width=256,
        num_inference_steps=steps,
        guidance_scale=pipe.parts.drawing.guidance_scale,
        generator=torch.Generator().manual_seed(seed),
    )
    assert not isinstance(made, tuple)
    image: Image.Image = made.images[0]
    return image


def _sheet(rows: list[list[Image.Image]], side: int = 128, columns: int = 8) -> Image.Image:
    """Before above after, eight to a line."""
    lines = [row[at : at + columns] for at in range(0, len(rows[0]), columns) for row in rows]
    sheet = Image.new("RGB", (columns * (side + 4), len(lines) * (side + 4) + len(lines) // 2 * 8), "white")
    for number, line in enumerate(lines):
        for column, image in enumerate(line):
            top = number * (side + 4) + number // 2 * 8
            sheet.paste(image.resize((side, side), Image.Resampling.LANCZOS), (column * (side + 4), top))
    return sheet
