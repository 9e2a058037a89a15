"""What the page shows before anything is drawn: prompts with their pictures. Those in the page's language come first.

`python -m bench.page_examples` draws the pictures in `static/examples` with the shipped model; a name is a file there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class PromptExample:
    """A prompt, the seed that draws it well, and the file of its picture."""

    name: str
    prompt: str
    seed: int
    language: str = "en"

    def to_dict(self) -> dict[str, Any]:
        """For the page."""
        return asdict(self)


EXAMPLES = (
    PromptExample(name="summer", prompt='A blue poster with a sun that says "SUMMER"', seed=1),
    PromptExample(name="birthday", prompt='A birthday card with a cake that says "Happy Birthday"', seed=1),
    PromptExample(name="coffee", prompt='A coffee shop sign, "Fresh Coffee", with a cup of coffee', seed=1),
    PromptExample(name="party", prompt='A party flyer with balloons: "PARTY" and "Friday 8 pm"', seed=7),
    PromptExample(name="thanks", prompt='Thank you card with flowers that says "Thank you"', seed=1),
    PromptExample(name="open", prompt='A sign that says "OPEN"', seed=1),
    PromptExample(name="summer-zh", prompt="一张蓝色背景的海报，画着太阳，写着“SUMMER”", seed=2, language="zh"),
)
