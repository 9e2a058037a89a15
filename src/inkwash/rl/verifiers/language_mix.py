"""Whether a response stays in one language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from inkwash.rl.verifiers.gates import mixes_languages
from inkwash.rl.verifiers.verdict import Verdict, Verifier


@dataclass(frozen=True, kw_only=True)
class LanguageMix(Verifier):
    """The domain `language_mix`: 1 unless whole paragraphs are in Chinese and others in English."""

    reads_response: ClassVar[bool] = True

    def decide(self, answer: str, wanted: str) -> Verdict:
        mixed = mixes_languages(answer)
        return Verdict.wrong("mixed", "paragraphs in two languages") if mixed else Verdict.right("one language")
