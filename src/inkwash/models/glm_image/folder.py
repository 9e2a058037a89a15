"""The layout of a GLM-Image checkpoint folder: its parts, what it draws with, and what a folder is that is not one.

A small checkpoint says itself what it can draw: `_drawing.limits` in `model_index.json` (`Abilities`). Everything
there is data, so that another edition of the weights changes the file and no code; the released model has no such
block. `engine.notes` compares a prompt with it.

No network is imported here, so that the command line can tell what a folder holds without loading torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkwash.core import limits
from inkwash.core import limits as bounds
from inkwash.core.errors import ConfigError, InkwashError, WeightsError
from inkwash.core.types import Size
from inkwash.models.glm_image.quotes import canonical
from inkwash.models.tensor_files import read_json, some

LANGUAGES = ("en", "zh", "de", "fr", "es")


@dataclass(frozen=True, kw_only=True)
class Named:
    """Something by its name and every other word for it, in any language."""

    name: str
    synonyms: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, *self.synonyms)


@dataclass(frozen=True, kw_only=True)
class Lettering:
    """How much text fits. A character takes `cell` px of the width, a large one `large_cell`."""

    cell: int
    large_cell: int
    large_words: tuple[str, ...]  # words that ask for large letters
    lines: int  # at most
    wraps: bool  # whether a text that is wider than the picture goes on in the next line

    def __post_init__(self) -> None:
        for name in ("cell", "large_cell"):
            bounds.check_whole(name, getattr(self, name), 1, bounds.MAX_SIDE)
        bounds.check_whole("lines", self.lines, 1, 1000)

    def characters(self, width: int, *, large: bool = False) -> int:
        """Characters of one line."""
        return width // (self.large_cell if large else self.cell)

    def rows(self, height: int) -> int:
        """Lines of one picture."""
        return max(1, min(self.lines, height // self.cell))


@dataclass(frozen=True, kw_only=True)
class SizeRange:
    """The sizes that were trained on, in pixels."""

    shortest: int
    longest: int
    aspect: float

    def __post_init__(self) -> None:
        if not bounds.MIN_SIDE <= self.shortest <= self.longest <= bounds.MAX_SIDE:
            raise ConfigError(
                f"The sides {self.shortest} to {self.longest} are no range within {bounds.MIN_SIDE} to "
                f"{bounds.MAX_SIDE}."
            )
        bounds.check_real("aspect", self.aspect, 1.0, bounds.MAX_ASPECT)

    def holds(self, size: Size) -> bool:
        """Whether a picture of this size was among those trained on."""
        return self.shortest <= min(size) and max(size) <= self.longest and max(size) / min(size) <= self.aspect


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """The limits block: kinds of picture, things, colours and styles by name; letters, sizes, languages.

    `most_things` is how many things fit into one picture. `photographs` says whether reference pictures may be
    photographs and other pictures of the world outside.
    """

    pictures: tuple[Named, ...]
    things: tuple[Named, ...]
    colors: tuple[Named, ...]
    styles: tuple[Named, ...]
    alphabet: str
    lettering: Lettering
    sizes: SizeRange
    languages: tuple[str, ...]
    most_things: int
    photographs: bool = False

    def __post_init__(self) -> None:
        if not self.alphabet or any(language not in LANGUAGES for language in self.languages):
            raise ConfigError(f"The alphabet must not be empty, and languages are some of {', '.join(LANGUAGES)}.")
        bounds.check_whole("most_things", self.most_things, 0, 1000)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Abilities:
        """Read the block; `ConfigError`, `RequestError` or `TypeError` for what it must not hold."""
        known = dict(values)
        for key in ("pictures", "things", "colors", "styles"):
            known[key] = _read_names(key, known.get(key))
        known["lettering"] = Lettering(**_tuples(known.get("lettering")))
        known["sizes"] = SizeRange(**_tuples(known.get("sizes")))
        return cls(**_tuples(known))

    def to_dict(self) -> dict[str, Any]:
        """The block as it stands in the file."""
        names = {
            key: {named.name: list(named.synonyms) for named in getattr(self, key)}
            for key in ("pictures", "things", "colors", "styles")
        }
        lettering = {**vars(self.lettering), "large_words": list(self.lettering.large_words)}
        plain = {key: getattr(self, key) for key in ("alphabet", "most_things", "photographs")}
        return {
            **names,
            **plain,
            "lettering": lettering,
            "sizes": dict(vars(self.sizes)),
            "languages": list(self.languages),
        }


def _read_names(key: str, table: Any) -> tuple[Named, ...]:
    lists = table.values() if isinstance(table, Mapping) else (None,)
    if not all(isinstance(words, list | tuple) and all(isinstance(word, str) for word in words) for words in lists):
        raise ConfigError(f"{key} must be a table of names and lists of synonyms.")
    return tuple(Named(name=name, synonyms=tuple(synonyms)) for name, synonyms in table.items())


def _tuples(table: Any) -> dict[str, Any]:
    """A JSON table with its lists as tuples."""
    if not isinstance(table, Mapping):
        raise ConfigError("a part of the limits is no table.")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


INDEX_FILE = "model_index.json"
GENERATION_FILE = "generation_config.json"
DRAWING_KEY = "_drawing"  # in the index; the reference library passes over keys that begin with an underscore
PIPELINE_CLASS = "GlmImagePipeline"
EXPECTED = f"expected a GLM-Image checkpoint: {INDEX_FILE} for {PIPELINE_CLASS} and its part folders"


@dataclass(frozen=True, kw_only=True)
class CheckpointPart:
    """One sub-folder: who else reads it, under which class, and how its files are called."""

    library: str
    class_name: str
    config_file: str = "config.json"
    model_type: str | None = None  # what a transformers config says; diffusers configs name their class
    weights_name: str = ""  # beginning of the names of its safetensors files; empty for a part without weights


PARTS = {
    "vision_language_encoder": CheckpointPart(
        library="transformers",
        class_name="GlmImageForConditionalGeneration",
        model_type="glm_image",
        weights_name="model",
    ),
    "processor": CheckpointPart(
        library="transformers", class_name="GlmImageProcessor", config_file="tokenizer_config.json"
    ),
    "tokenizer": CheckpointPart(
        library="transformers", class_name="ByT5Tokenizer", config_file="tokenizer_config.json"
    ),
    "text_encoder": CheckpointPart(
        library="transformers", class_name="T5EncoderModel", model_type="t5", weights_name="model"
    ),
    "transformer": CheckpointPart(
        library="diffusers", class_name="GlmImageTransformer2DModel", weights_name="diffusion_pytorch_model"
    ),
    "vae": CheckpointPart(library="diffusers", class_name="AutoencoderKL", weights_name="diffusion_pytorch_model"),
    "scheduler": CheckpointPart(
        library="diffusers", class_name="FlowMatchEulerDiscreteScheduler", config_file="scheduler_config.json"
    ),
}


@dataclass(frozen=True, kw_only=True)
class DrawingDefaults:
    """How a checkpoint wants to be drawn with where nothing is asked for; by default as the released model.

    canonical_quotes: every style of quotation marks reaches the networks as straight double ones, the only ones that
    a small model has learnt. limits: what the checkpoint can draw; None where it does not say. plan_candidates: how
    many plans are sampled at most, of which the best is drawn (`engine/plan_choice.py`; needs `code_labels.json`).
    """

    num_inference_steps: int = 50
    guidance_scale: float = 1.5
    canonical_quotes: bool = False
    limits: Abilities | None = None
    plan_candidates: int = 1

    def __post_init__(self) -> None:
        limits.check_candidates(self.plan_candidates)
        limits.check_steps(self.num_inference_steps)
        limits.check_guidance(self.guidance_scale)
        if not isinstance(self.canonical_quotes, bool):
            raise ConfigError(f"canonical_quotes is {self.canonical_quotes!r}, but must be true or false.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DrawingDefaults:
        """Read the settings as they stand in the index."""
        block = values.get("limits")
        return cls(**{**values, "limits": None if block is None else Abilities.from_dict(block)})

    def to_dict(self) -> dict[str, Any]:
        """The settings for the index; what is as in the released model is left out, but for steps and guidance."""
        values: dict[str, Any] = {
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
        }
        if self.canonical_quotes:
            values["canonical_quotes"] = True
        if self.plan_candidates != 1:
            values["plan_candidates"] = self.plan_candidates
        if self.limits is not None:
            values["limits"] = self.limits.to_dict()
        return values

    def prompt(self, text: str) -> str:
        """A prompt as the networks read it."""
        return canonical(text) if self.canonical_quotes else text


def drawing_defaults(folder: Path) -> DrawingDefaults:
    """What the checkpoint in a folder asks for; raises `WeightsError` for settings that nothing can be drawn with."""
    values = read_json(folder / INDEX_FILE).get(DRAWING_KEY, {})
    try:
        if not isinstance(values, Mapping):
            raise TypeError("not a table")
        return DrawingDefaults.from_dict(values)
    except (InkwashError, AttributeError, TypeError) as error:
        fields = " and ".join(DrawingDefaults.__dataclass_fields__)
        raise WeightsError(
            f"{folder / INDEX_FILE} has a {DRAWING_KEY} that no picture can be drawn with ({error}): "
            f"it may name {fields}; correct or remove it."
        ) from error


def inspect_folder(folder: Path) -> None:
    """Raise one sentence that says what the folder is, unless it is a complete GLM-Image checkpoint."""
    if not folder.exists():
        raise WeightsError(f"{folder} does not exist; {EXPECTED}.")
    if not folder.is_dir():
        raise WeightsError(f"{folder} is a file; {EXPECTED}.")
    inspect_index(folder)
    if missing := [f"{name}/" for name, part in PARTS.items() if not (folder / name / part.config_file).is_file()]:
        raise WeightsError(f"{folder} is incomplete: {some(missing)} missing or empty; download or copy it again.")
    for name, part in PARTS.items():
        if part.library == "diffusers" or part.model_type is not None:
            file, key = folder / name / part.config_file, "model_type" if part.model_type is not None else "_class_name"
            found, wanted = read_json(file).get(key), part.model_type or part.class_name
            if found != wanted:
                raise WeightsError(f"{file} is of kind {found}; expected {wanted}, as in a GLM-Image checkpoint.")


def inspect_index(folder: Path) -> None:
    """The first half of `inspect_folder`: is there an index, and does it name this family?"""
    if not (folder / INDEX_FILE).is_file():
        raise WeightsError(f"{folder} {_describe(folder)}; {EXPECTED}.")
    pipeline = read_json(folder / INDEX_FILE).get("_class_name")
    if pipeline != PIPELINE_CLASS:
        raise WeightsError(f"{folder} holds a {pipeline} checkpoint by its {INDEX_FILE}; {EXPECTED}.")


def pipeline_index(drawing: DrawingDefaults | None = None) -> dict[str, object]:
    """`model_index.json`: which class of which library reads each part, and settings of the checkpoint's own."""
    parts = {name: [part.library, part.class_name] for name, part in sorted(PARTS.items())}
    settings = {} if drawing is None or drawing == DrawingDefaults() else {DRAWING_KEY: drawing.to_dict()}
    return {"_class_name": PIPELINE_CLASS, "_diffusers_version": "0.42.1", **settings, **parts}


def generation_config(*, end: int, pad: int | None, vision_vocab_size: int) -> dict[str, Any]:
    """How the AR generator is sampled: temperature 0.9, top-p 0.75 and no top-k, as the released model asks."""
    return {
        "_from_model_config": False,
        "do_sample": True,
        "eos_token_id": end,
        "pad_token_id": pad,
        "temperature": 0.9,
        "top_k": vision_vocab_size,  # all of them: the reference library would otherwise keep 50
        "top_p": 0.75,
    }


def min_p_sampling(share: float) -> dict[str, float]:
    """Of `generation_config`, where min-p alone leaves codes out."""
    return {"temperature": 1.0, "top_p": 1.0, "min_p": share}


def byte_tokenizer_config() -> dict[str, object]:
    """`tokenizer/`: ByT5 needs no vocabulary, only the names of its three special bytes and its sentinels."""
    return {
        "eos_token": "</s>",
        "extra_ids": 125,
        "model_max_length": 2048,
        "pad_token": "<pad>",
        "tokenizer_class": "ByT5Tokenizer",
        "unk_token": "<unk>",
    }


def _describe(folder: Path) -> str:
    """What a folder without a pipeline index seems to be."""
    entries = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if not entries:
        return "is empty"
    if "config.json" in entries:
        config = read_json(folder / "config.json")
        kind = config.get("_class_name") or config.get("model_type") or "an unnamed network"
        inside = [name for name, part in PARTS.items() if kind in (part.class_name, part.model_type)]
        whole = f" (the {inside[0]}/ part alone; name the folder above it)" if inside else ""
        return f"holds a single network of kind {kind}{whole}"
    if found := [name for name in PARTS if name in entries]:
        return f"has {some([f'{name}/' for name in found])} but no {INDEX_FILE}"
    return f"holds {some(entries)}"


@dataclass(frozen=True, kw_only=True)
class ModelDefaults:
    """By default those of the released model; `side` is that of a square picture."""

    steps: int = 50
    guidance: float = 1.5
    temperature: float = 0.9
    top_p: float = 0.75
    top_k: int | None = None
    min_p: float = 0.0
    side: int = 1024
    plan_candidates: int = 1

    @classmethod
    def of(cls, drawing: DrawingDefaults, generation: Mapping[str, Any], side: int | None) -> ModelDefaults:
        """From the index's settings, generation_config.json and the size that the VAE was trained on."""
        named = {name: generation.get(name) for name in ("temperature", "top_p", "top_k", "min_p")}
        known = {name: value for name, value in {**named, "side": side}.items() if value}
        return cls(
            steps=drawing.num_inference_steps,
            guidance=drawing.guidance_scale,
            plan_candidates=drawing.plan_candidates,
            **known,
        )
