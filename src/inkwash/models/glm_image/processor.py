"""From a prompt and reference pictures to what the networks read: token ids, grids and pixels.

Reads the `processor/` folder of a checkpoint: the tokenizer, the chat template and the picture settings. A prompt
ends in size tags, `<sop>H W<eop>` for the picture to draw and, without references, a second one for its preview;
one cell of these grids is 32 x 32 pixels. A reference picture is resized once to the grid the AR generator sees it
on, and a copy of twice that size goes to the VAE, so that both networks agree on the grid for pictures of any size.

The pattern of a tokenizer that spells quoted texts (`QUOTED`) looks ahead to the end of the text from every character,
so its time grows with the square of the length: seconds for a prompt of 32,000. `SpelledTokenizer` marks the same
characters in one pass from the end, and cuts the rest by the plain pattern; the ids are equal.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Template, TemplateError
from PIL import Image
from tokenizers import Regex, Tokenizer, pre_tokenizers
from torch import Tensor

from inkwash.core.errors import ConfigError, RequestError, WeightsError
from inkwash.models.glm_image.quotes import glyph_texts
from inkwash.models.processor_files import (
    TEXT_FILES,
    compile_template,
    json_object,
    read_chat_template,
    read_files,
    read_tokenizer,
    special_tokens,
)

__all__ = ["CELL", "GlmImageProcessor", "Grid", "ImagePrompt", "Reference", "glyph_texts", "preview_grid"]

CELL = 32  # pixels of the drawn picture along one side of a semantic token
_PREVIEW = 16  # semantic tokens along one side of a square preview
_MAX_ASPECT = 4
_PICTURE_FILES = ("preprocessor_config.json", "processor_config.json")

Grid = tuple[int, int]  # rows, columns of semantic tokens


PIECES = "|".join(
    (
        r"\p{Lu}|\p{N}|[\"'“”‘’「」]",  # a capital, a digit or a quotation mark: each alone
        r" ?[\p{Ll}\p{Lt}\p{Lm}\p{Lo}\p{M}]+",  # other letters, with the space before them
        r" ?[^\s\p{L}\p{N}\p{M}\"'“”‘’「」]+",  # other signs, likewise
        r"\s+(?!\S)|\s",
    )
)
# A character inside quotation marks: an odd number of straight ones follows, or a closing one before an opening one.
QUOTED = r"""[^"](?=[^"]*"(?:[^"]*"[^"]*")*[^"]*$)|[^”](?=[^“”]*”)"""


@dataclass(frozen=True)
class Reference:
    """One reference picture: its grid, the AR generator's pixels and the VAE's."""

    grid: Grid
    pixels: Tensor  # (3, 16 rows, 16 columns), normalised
    picture: Tensor  # (3, 32 rows, 32 columns) in [-1, 1]


@dataclass(frozen=True)
class ImagePrompt:
    """Everything the AR generator needs to plan one picture; placeholders in `ids` await the references' codes."""

    ids: Tensor  # (L,)
    references: tuple[Reference, ...]
    target: Grid
    preview: Grid | None

    @property
    def grids(self) -> list[Grid]:
        """Reference grids, then the target, then the preview: the order in which positions are counted."""
        drawn = [self.target] if self.preview is None else [self.target, self.preview]
        return [reference.grid for reference in self.references] + drawn

    @property
    def drawn_tokens(self) -> int:
        """How many semantic tokens are sampled: the preview, if any, then the target."""
        preview = math.prod(self.preview) if self.preview else 0
        return preview + math.prod(self.target)


@dataclass(frozen=True, kw_only=True)
class PictureConfig:
    """How reference pictures are prepared (`preprocessor_config.json`)."""

    patch_size: int
    merge_size: int
    shortest_edge: int  # in pixels of area, as the file has it: the side is its square root
    longest_edge: int
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]
    rescale_factor: float = 1 / 255
    resample: int = int(Image.Resampling.BICUBIC)

    def __post_init__(self) -> None:
        if self.patch_size < 1 or self.merge_size != 1:
            raise ConfigError(
                f"The processor config has patch_size {self.patch_size} and merge_size {self.merge_size}, but must "
                "have a patch size above 0 and merge size 1."
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PictureConfig:
        """Read the keys of a `preprocessor_config.json`."""
        size = values.get("size") or {}
        try:
            return cls(
                patch_size=values["patch_size"],
                merge_size=values["merge_size"],
                shortest_edge=values.get("min_pixels") or size["shortest_edge"],
                longest_edge=values.get("max_pixels") or size["longest_edge"],
                image_mean=tuple(values["image_mean"]),
                image_std=tuple(values["image_std"]),
                rescale_factor=values.get("rescale_factor", 1 / 255),
                resample=values.get("resample", int(Image.Resampling.BICUBIC)),
            )
        except KeyError as missing:
            raise ConfigError(f"The processor's preprocessor_config.json lacks {missing.args[0]!r}; add it.") from None

    def grid(self, height: int, width: int) -> Grid:
        """Semantic tokens of a picture of `height` x `width` pixels; aspect above 4 raises `RequestError`."""
        if max(height, width) > _MAX_ASPECT * min(height, width):
            raise RequestError(
                f"A reference picture is {width}x{height} pixels, an aspect above {_MAX_ASPECT}:1; crop it first.",
                param="image",
            )
        shortest, longest = round(math.sqrt(self.shortest_edge)), round(math.sqrt(self.longest_edge))
        scale = max(1.0, shortest / min(height, width))
        if max(height, width) * scale > longest:
            scale = longest / max(height, width)
        # The released rule floors the half side; below one patch that would lose most of the picture's shape.
        floored = min(height, width) >= self.patch_size
        halves = (side // 2 if floored else side / 2 for side in (height, width))
        rows, columns = (max(1, round(half * scale / self.patch_size)) for half in halves)
        return rows, columns


@dataclass(frozen=True)
class GlmImageProcessor:
    """Tokenizer, chat template and picture settings of one checkpoint."""

    tokenizer: Tokenizer
    chat_template: str
    special: dict[str, str]  # role -> token, such as image_token, grid_bos_token, bos_token
    pictures: PictureConfig
    files: dict[str, bytes] = field(repr=False)  # the folder as it was read, so that it is written back unchanged

    def __deepcopy__(self, memo: dict[int, object]) -> GlmImageProcessor:
        """Itself: nothing in it ever changes."""
        return self

    @classmethod
    def from_folder(cls, folder: str | Path) -> GlmImageProcessor:
        """Read a checkpoint's `processor/` folder; a missing or damaged file raises `WeightsError`."""
        folder = Path(folder)
        files = read_files(folder, (*TEXT_FILES, *_PICTURE_FILES))
        special = special_tokens(folder, files)
        needed = ("image_token", "grid_bos_token", "grid_eos_token", "bos_token")
        if missing := [role for role in needed if role not in special]:
            raise WeightsError(f"{folder / 'tokenizer_config.json'} names no {', '.join(missing)}; it is damaged.")
        return cls(
            tokenizer=read_tokenizer(folder, files),
            chat_template=read_chat_template(folder, files),
            special=special,
            pictures=PictureConfig.from_dict(_picture_settings(folder, files)),
            files=files,
        )

    def save(self, folder: str | Path) -> None:
        """Write the folder back as it was read."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)

    @cached_property
    def _template(self) -> Template:
        return compile_template(self.chat_template)

    @cached_property
    def _spelled(self) -> SpelledTokenizer | None:
        return SpelledTokenizer(self.tokenizer) if is_spelled(self.files.get("tokenizer.json", b"")) else None

    def token_id(self, role: str) -> int:
        """The id of a special token, such as `token_id("image_token")`."""
        found = self.tokenizer.token_to_id(self.special[role])
        if found is None:
            raise WeightsError(f"The tokenizer has no token {self.special[role]!r} for {role}; the folder is damaged.")
        return found

    def prepare(self, prompt: str, height: int, width: int, images: Sequence[Image.Image] = ()) -> ImagePrompt:
        """Token ids, grids and pixels to draw `height` x `width` pixels (multiples of 32) from RGB references."""
        references = tuple(self.reference(image) for image in images)
        target = (height // CELL, width // CELL)
        preview = None if references else preview_grid(*target)
        opening, closing = self.special["grid_bos_token"], self.special["grid_eos_token"]
        tags = "".join(f"{opening}{grid[0]} {grid[1]}{closing}" for grid in (target, preview) if grid)
        text = self.render(prompt, len(references)) + tags + self.special["bos_token"]
        pieces = text.split(self.special["image_token"])
        if len(pieces) != len(references) + 1:
            raise RequestError(
                f"The prompt contains the control token {self.special['image_token']}; remove it.", param="prompt"
            )
        joined = pieces[0]
        for reference, piece in zip(references, pieces[1:], strict=True):
            joined += self.special["image_token"] * math.prod(reference.grid) + piece
        ids = self.encode(joined, add_special_tokens=not text.startswith(self.special["bos_token"]))
        return ImagePrompt(ids=torch.tensor(ids), references=references, target=target, preview=preview)

    def render(self, prompt: str, images: int = 0) -> str:
        """The chat template around one user turn of `images` pictures and the prompt."""
        content: list[dict[str, str]] = [{"type": "image"} for _ in range(images)]
        content.append({"type": "text", "text": prompt})
        try:
            return self._template.render(
                messages=[{"role": "user", "content": content}],
                tools=None,
                documents=None,
                add_generation_prompt=False,
                **self.special,
            )
        except TemplateError as error:
            raise WeightsError(f"The chat template of the processor folder fails: {error}.") from None

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Plain tokenization; special tokens written in `text` are read as such.

        As a batch of one, which leaves the interpreter to other threads meanwhile; `Tokenizer.encode` does not.
        """
        if self._spelled is not None:
            return self._spelled.encode(text, add_special_tokens=add_special_tokens)
        return list(self.tokenizer.encode_batch([text], add_special_tokens=add_special_tokens)[0].ids)

    def reference(self, image: Image.Image) -> Reference:
        """Resize and normalise one RGB picture of any size and an aspect up to 4:1."""
        rows, columns = self.pictures.grid(image.height, image.width)
        side = self.pictures.patch_size
        small = image.resize((columns * side, rows * side), Image.Resampling(self.pictures.resample))
        large_size = (columns * side * 2, rows * side * 2)
        large = image if image.size == large_size else image.resize(large_size, Image.Resampling.LANCZOS)
        return Reference(grid=(rows, columns), pixels=self._normalise(small), picture=vae_pixels(large))

    def _normalise(self, image: Image.Image) -> Tensor:
        # float64 then float32, step by step, so that the result equals the reference to the last bit
        values = (np.asarray(image).astype(np.float64) * self.pictures.rescale_factor).astype(np.float32)
        mean = np.array(self.pictures.image_mean, dtype=np.float32)
        std = np.array(self.pictures.image_std, dtype=np.float32)
        return torch.from_numpy(np.ascontiguousarray(((values - mean) / std).transpose(2, 0, 1)))


def preview_grid(rows: int, columns: int) -> Grid:
    """The preview of a target grid: about 256 tokens of the same aspect."""
    ratio = rows / columns
    return int(math.sqrt(ratio) * _PREVIEW), int(math.sqrt(1 / ratio) * _PREVIEW)


def vae_pixels(image: Image.Image) -> Tensor:
    """An RGB picture as (3, H, W) in [-1, 1]."""
    values = np.asarray(image).astype(np.float32) / 255.0
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1))) * 2.0 - 1.0


def _picture_settings(folder: Path, files: dict[str, bytes]) -> dict[str, Any]:
    if "preprocessor_config.json" in files:
        return json_object(folder, files, "preprocessor_config.json")
    if "processor_config.json" in files:
        nested = json_object(folder, files, "processor_config.json").get("image_processor")
        if isinstance(nested, dict):
            return nested
    raise WeightsError(f"{folder / 'preprocessor_config.json'} is missing; copy the whole processor folder.")


def pre_tokenizer(*, spelled: bool) -> pre_tokenizers.PreTokenizer:
    """Text into pieces; `spelled` sets every character inside quotation marks alone."""
    pieces = pre_tokenizers.Split(Regex(f"{QUOTED}|{PIECES}" if spelled else PIECES), behavior="isolated")
    return pre_tokenizers.Sequence([pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


SHORT = 256  # characters that the tokenizer's own pattern may cut
_MARKS = frozenset('"“”')


def is_spelled(content: bytes) -> bool:
    """Whether a `tokenizer.json` cuts by the pattern that `SpelledTokenizer` stands for."""
    return json.dumps(f"{QUOTED}|{PIECES}", ensure_ascii=False)[1:-1].encode() in content


class SpelledTokenizer:
    """The ids of a spelled tokenizer in linear time."""

    def __init__(self, tokenizer: Tokenizer, *, short: int = SHORT) -> None:
        self._short, self._whole, self._plain = short, tokenizer, Tokenizer.from_str(tokenizer.to_str())
        self._plain.pre_tokenizer = pre_tokenizer(spelled=False)
        added = sorted(
            (token.content for token in tokenizer.get_added_tokens_decoder().values()), key=len, reverse=True
        )
        self._added = re.compile("(" + "|".join(map(re.escape, added)) + ")")

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """What the tokenizer itself gives."""
        if len(text) <= self._short:
            return list(self._whole.encode_batch([text], add_special_tokens=add_special_tokens)[0].ids)
        pieces: list[str] = []
        for place, part in enumerate(self._added.split(text)):
            pieces += [part] if place % 2 else cut(part)
        encoded = self._plain.encode_batch([pieces], is_pretokenized=True, add_special_tokens=add_special_tokens)
        return list(encoded[0].ids)


def cut(text: str) -> list[str]:
    """Characters that stand alone, and the runs between them; the marks belong to the runs."""
    alone = _alone(text)
    pieces: list[str] = []
    begin = 0
    for place in (place for place, single in enumerate(alone) if single):
        if begin < place:
            pieces.append(text[begin:place])
        pieces.append(text[place])
        begin = place + 1
    if begin < len(text):
        pieces.append(text[begin:])
    return pieces


def _alone(text: str) -> list[bool]:
    """Where `QUOTED` matches, but for the marks themselves, which every pattern sets alone."""
    alone = [False] * len(text)
    odd, even = False, True  # whether some end of a line lies behind an odd or an even number of straight marks
    closes = False  # whether the next curly mark closes
    for place in range(len(text) - 1, -1, -1):
        character = text[place]
        alone[place] = character not in _MARKS and (odd or closes)
        if character == '"':
            odd, even = even, odd
        elif character == "\n":
            even = True
        elif character in "“”":
            closes = character == "”"
    return alone
