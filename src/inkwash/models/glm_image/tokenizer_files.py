"""The tokenizer of a GLM-Image checkpoint: how its ids are laid out, trained, and written as `processor/` files.

One id space serves pictures and text. Ids `0..codes-1` are semantic codes, then image start and image end, then
spare ids up to the vision vocabulary; text begins above it: bytes, merges, and the special tokens last. Text is
byte-level BPE in which every capital letter, digit and quotation mark stands alone, so that a spelling asked for in
a prompt is a string of single tokens that a small model can copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from inkwash.core.files import write_json
from inkwash.models.glm_image.processor import pre_tokenizer

RESERVED = 128  # ids of the vision vocabulary after the codes: image start, image end, spare ones
END_OF_TEXT, GRID_START, GRID_END, IMAGE = "<|endoftext|>", "<sop>", "<eop>", "<|image|>"
TEXT_SPECIALS = (
    END_OF_TEXT,
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    GRID_START,
    GRID_END,
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    IMAGE,
    "<|video|>",
)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
BICUBIC = 3


@dataclass(frozen=True, kw_only=True)
class TokenLayout:
    """The ids that follow from the number of semantic codes; those of text specials follow from the vocabulary."""

    codes: int
    reserved: int = RESERVED

    def __post_init__(self) -> None:
        if self.codes < 1 or self.reserved < 2:
            raise ValueError(f"codes must be >= 1 and reserved >= 2, not {self.codes} and {self.reserved}")

    @property
    def image_start(self) -> int:
        return self.codes

    @property
    def image_end(self) -> int:
        return self.codes + 1

    @property
    def vision_vocab_size(self) -> int:
        return self.codes + self.reserved

    def token(self, vision_id: int) -> str:
        """The name of an id of the vision vocabulary."""
        if not 0 <= vision_id < self.vision_vocab_size:
            raise ValueError(f"vision ids run from 0 to {self.vision_vocab_size - 1}, not {vision_id}")
        return f"<|dit_token_{vision_id}|>"


def train_bpe(
    lines: Iterable[str], *, vocab_size: int, codes: int, reserved: int = RESERVED, spelled: bool = False
) -> Tokenizer:
    """A byte-level BPE trained on `lines` with the id layout of this module.

    `spelled` makes every character of a quoted text a piece of its own, small letters and Chinese ones too.

    `vocab_size` counts every id: vision vocabulary, bytes, merges and text specials; fewer come out when the lines
    hold fewer merges, and the specials then follow the last merge.
    """
    layout = TokenLayout(codes=codes, reserved=reserved)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    text_size = vocab_size - layout.vision_vocab_size - len(TEXT_SPECIALS)
    if text_size < len(alphabet):
        least = layout.vision_vocab_size + len(TEXT_SPECIALS) + len(alphabet)
        raise ValueError(f"vocab_size must be at least {least} for {codes} codes, not {vocab_size}")
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizer(spelled=spelled)
    trainer = trainers.BpeTrainer(vocab_size=text_size, initial_alphabet=alphabet, show_progress=False)
    plain.train_from_iterator(lines, trainer)
    model = json.loads(plain.to_str())["model"]
    text = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return _build(layout, text, [tuple(pair) for pair in model["merges"]], spelled)


def write_processor_files(
    folder: Path,
    bpe: Tokenizer,
    *,
    codes: int,
    min_pixels: int,
    max_pixels: int,
    patch_size: int = 16,
    max_length: int = 131072,
    reserved: int = RESERVED,
) -> None:
    """Write everything `processor/` of a checkpoint holds, as `GlmImageProcessor.save_pretrained` does.

    `min_pixels` and `max_pixels` bound a reference picture before it is halved: their square roots are the least
    short side and the greatest long side.
    """
    layout = TokenLayout(codes=codes, reserved=reserved)
    folder.mkdir(parents=True, exist_ok=True)
    image_processor = image_processor_config(min_pixels=min_pixels, max_pixels=max_pixels, patch_size=patch_size)
    bpe.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", tokenizer_config(layout, max_length=max_length))
    write_json(folder / "preprocessor_config.json", image_processor)
    processor = {"image_processor": image_processor, "processor_class": "GlmImageProcessor"}
    write_json(folder / "processor_config.json", processor)
    (folder / "chat_template.jinja").write_text(chat_template(layout), encoding="utf-8")


def chat_template(layout: TokenLayout) -> str:
    """Messages as the text the generator reads: pictures between image start and end, and the words as they are."""
    start, end = layout.token(layout.image_start), layout.token(layout.image_end)
    return (
        "{%- for message in messages -%}\n"
        "{%- set parts = [{'type': 'text', 'text': message.content}] if message.content is string"
        " else message.content -%}\n"
        "{%- for part in parts -%}\n"
        f"{{%- if part.type == 'image' -%}}{start}{IMAGE}{end}\n"
        "{%- elif part.type == 'text' -%}{{ part.text }}\n"
        "{%- endif -%}\n"
        "{%- endfor -%}\n"
        "{%- endfor -%}\n"
    )


def tokenizer_config(layout: TokenLayout, *, max_length: int) -> dict[str, object]:
    """`tokenizer_config.json`: the special tokens by the names under which the processor asks for them."""
    named = {"image_token": IMAGE, "grid_bos_token": GRID_START, "grid_eos_token": GRID_END}
    return {
        "backend": "tokenizers",
        "bos_token": layout.token(layout.image_start),
        "clean_up_tokenization_spaces": False,
        "eos_token": layout.token(layout.image_end),
        "extra_special_tokens": named,
        **named,
        "model_max_length": max_length,
        "pad_token": END_OF_TEXT,
        "padding_side": "left",
        "processor_class": "GlmImageProcessor",
        "tokenizer_class": "TokenizersBackend",
    }


def image_processor_config(*, min_pixels: int, max_pixels: int, patch_size: int) -> dict[str, object]:
    """`preprocessor_config.json`: how reference pictures are resized, normalised and cut into patches."""
    if not 0 < min_pixels <= max_pixels:
        raise ValueError(f"pixels must satisfy 0 < min <= max, not {min_pixels} and {max_pixels}")
    return {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(CLIP_MEAN),
        "image_processor_type": "GlmImageImageProcessor",
        "image_std": list(CLIP_STD),
        "merge_size": 1,
        "patch_size": patch_size,
        "resample": BICUBIC,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": max_pixels, "shortest_edge": min_pixels},
        "temporal_patch_size": 1,
    }


def _build(layout: TokenLayout, text: list[str], merges: list[tuple[str, str]], spelled: bool) -> Tokenizer:
    names = [layout.token(number) for number in range(layout.vision_vocab_size)]
    names += [*text, *TEXT_SPECIALS]
    tokenizer = Tokenizer(models.BPE(vocab={name: number for number, name in enumerate(names)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizer(spelled=spelled)
    tokenizer.decoder = decoders.ByteLevel()
    specials = (layout.token(layout.image_start), layout.token(layout.image_end), *TEXT_SPECIALS)
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in specials])
    return tokenizer
