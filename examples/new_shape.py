"""Fine-tuning by example: pictures of a shape that nano has never seen, and whether it then draws it.

python examples/new_shape.py pictures FOLDER [--shape cross] [--color yellow]     a folder as a user would bring it
inkwash train finetune --set data=FOLDER --set work=WORK --set side=256           learn from it
python examples/new_shape.py score WORK [--shape cross] [--color yellow]          held-out prompts, before and after

`runs/finetune.sh` is the whole way. A shape that the world's grammar never samples, always of one colour, stands above
a word on plain backgrounds, like somebody's own logo or mascot. The score draws prompts with held-out words and
templates with and without the adapter, checks them by `scenes.check` and OCR, and lays both beside each other.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from inkwash import GlmImagePipeline
from inkwash.core.errors import DataError, MissingExtraError
from inkwash.data.plans import usual_box
from inkwash.eval.metrics import score_words
from inkwash.eval.ocr import Reader
from inkwash.media.images import encode_image
from inkwash.scenes.caption import describe
from inkwash.scenes.check import check
from inkwash.scenes.lettering import grid_text
from inkwash.scenes.render import render
from inkwash.scenes.scene import Description, Scene, ShapeItem
from inkwash.scenes.words import sample_word
from inkwash.scenes.world import COLOR_NAMES, NEW_SHAPES, POSTER_FACES, shape_colors, text_colors

SIDE = 256
SIZE = 96


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What is to be learned: a shape of one colour."""

    shape: str = "cross"
    color: str = "yellow"

    def __post_init__(self) -> None:
        if self.shape not in NEW_SHAPES:
            raise ValueError(f"shape must be one that nano has not seen: {', '.join(NEW_SHAPES)}, got {self.shape!r}")
        if self.color not in COLOR_NAMES:
            raise ValueError(f"color must be one of {', '.join(COLOR_NAMES)}, got {self.color!r}")

    @property
    def backgrounds(self) -> list[str]:
        """The colours it can be told from."""
        return [name for name in COLOR_NAMES if self.color in shape_colors(name)]

    def scene(self, rng: random.Random, background: str, split: str) -> Scene:
        """It in its usual place, above a word in the middle."""
        word = sample_word(rng, split, SIDE // 32, 0.0)
        face, color = rng.choice(POSTER_FACES), rng.choice(text_colors(background))
        text = grid_text(word, 4, (SIDE // 32 - len(word)) // 2, face=face, color=color)
        item = ShapeItem(shape=self.shape, color=self.color, size=SIZE, box=(0, 0, SIZE, SIZE))
        scene = Scene(width=SIDE, height=SIDE, background=background, objects=(item,), texts=(text,))
        box = usual_box(item, scene)
        placed = ShapeItem(shape=self.shape, color=self.color, size=SIZE, box=box)
        return Scene(width=SIDE, height=SIDE, background=background, objects=(placed,), texts=(text,))

    def scenes(self, count: int, split: str, seed: int = 0) -> list[tuple[Scene, Description]]:
        """`count` scenes with their captions, over the backgrounds in turn."""
        rng = random.Random(f"identity/{split}/{seed}")
        made = []
        for number in range(count):
            scene = self.scene(rng, self.backgrounds[number % len(self.backgrounds)], split)
            made.append((scene, describe(scene, rng, split=split)))
        return made


def write_pictures(folder: Path, identity: Identity, count: int = 20, seed: int = 0) -> Path:
    """A folder of `count` pictures with captions, as a user would bring them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (scene, description) in enumerate(identity.scenes(count, "train", seed)):
            picture = encode_image(render(scene), "PNG")
            for name, content in (
                (f"{number:02d}.png", picture),
                (f"{number:02d}.txt", description.prompt.encode() + b"\n"),
            ):
                path = folder / name
                if not path.is_file() or path.read_bytes() != content:  # an untouched file keeps its time
                    path.write_bytes(content)
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror or error}): choose another folder.") from error
    return folder


@dataclass(frozen=True, kw_only=True)
class IdentityScore:
    """Shares of the pictures: the shape is there, in its colour, nothing else is; right words (None: no reader)."""

    pictures: int
    shape: float
    shape_and_color: float
    background: float
    words: float | None

    def __str__(self) -> str:
        words = "not read" if self.words is None else f"{self.words:.2f}"
        return (
            f"shape {self.shape:.2f}, shape and colour {self.shape_and_color:.2f}, background {self.background:.2f}, "
            f"words {words} ({self.pictures} pictures)"
        )


def score_identity(
    images: Sequence[Image.Image],
    cases: Sequence[tuple[Scene, Description]],
    read: Callable[[Image.Image], list[str]] | None,
) -> IdentityScore:
    """Hold one picture for each case against its scene; what the prompt did not name is free."""
    shape = color = background = right = wanted = 0
    for image, (scene, description) in zip(images, cases, strict=True):
        found = check(image, scene, named=description.named)
        shape += found.objects[0].shape_ok
        color += found.objects[0].shape_ok and found.objects[0].color_ok
        background += found.background_ok
        if read is not None:
            score = score_words([text.text for text in scene.texts], read(image))
            right, wanted = right + score.correct, wanted + score.total
    count = max(1, len(images))
    return IdentityScore(
        pictures=len(images),
        shape=shape / count,
        shape_and_color=color / count,
        background=background / count,
        words=right / wanted if wanted else None,
    )


def score_adapter(
    work: Path,
    identity: Identity,
    *,
    model: str = "nano",
    count: int = 16,
    steps: int = 12,
    seed: int = 0,
    weight: float = 1.0,
) -> dict[str, object]:
    """Draw `count` held-out prompts before and after; writes `work`/score.json and `work`/before_after.png."""
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


def main() -> None:
    """One of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("pictures", "score"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=NEW_SHAPES, default=Identity.shape)
    parser.add_argument("--color", choices=COLOR_NAMES, default=Identity.color)
    words = parser.parse_args()
    identity = Identity(shape=words.shape, color=words.color)
    if words.command == "score":
        score_adapter(words.folder, identity)
    else:
        print(f"pictures of a {identity.color} {identity.shape} in {write_pictures(words.folder, identity)}")


if __name__ == "__main__":
    main()
