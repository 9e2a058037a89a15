"""Words of pictures: how often a picture is tried until they are right, and reading them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from inkwash import Reader, Verify
from inkwash.engine.readback import compare, quoted_texts

from .load import CATEGORY
from .tensors import to_pictures

if TYPE_CHECKING:
    from torch import Tensor


@cache
def reader() -> Reader:
    """The reader of words, loaded once; MissingExtraError without the extra `ocr`."""
    return Reader()


class InkwashVerify:
    """Pictures are drawn again until the quoted words of their prompt are read in them."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Draw again until the words are right: at most `tries` times, or always `best_of` times."
    RETURN_TYPES = ("INKWASH_VERIFY",)
    RETURN_NAMES = ("verify",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "tries": ("INT", {"default": 4, "min": 1, "max": 64, "tooltip": "at most so many attempts"}),
                "best_of": ("INT", {"default": 1, "min": 1, "max": 64, "tooltip": "so many attempts in any case"}),
            }
        }

    def make(self, tries: int, best_of: int) -> tuple[Verify]:
        reader()
        return (Verify(tries=tries, best_of=best_of),)


class InkwashReadWords:
    """The lines of each picture, in reading order; with a prompt also whether its quoted words are there."""

    CATEGORY = CATEGORY
    DESCRIPTION = "Read the words of pictures; compare them with the texts in quotation marks of a prompt."
    RETURN_TYPES = ("STRING", "BOOLEAN", "FLOAT")
    RETURN_NAMES = ("words", "right", "score")
    FUNCTION = "read"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"images": ("IMAGE",)},
            "optional": {"prompt": ("STRING", {"default": "", "multiline": True})},
        }

    def read(self, images: Tensor, prompt: str = "") -> tuple[str, bool, float]:
        read = [reader().reading(picture).lines for picture in to_pictures(images)]
        found = [compare(quoted_texts(prompt), lines) for lines in read]
        words = "\n\n".join("\n".join(lines) for lines in read)
        return words, all(one.perfect for one in found), sum(one.score for one in found) / len(found)
