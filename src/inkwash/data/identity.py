"""A thing that a model has never seen, in a few pictures: the data of the fine-tuning example.

A shape that the world's grammar never samples, always of one colour, stands above a word on plain backgrounds: what a
user would bring is some pictures of their own logo or mascot. `write_pictures` makes the folder that
`inkwash train finetune` reads; `Identity.scenes` also gives prompts with held-out words and templates.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from inkwash.core.errors import DataError
from inkwash.data.plans import usual_box
from inkwash.media.images import encode_image
from inkwash.scenes.caption import describe
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
