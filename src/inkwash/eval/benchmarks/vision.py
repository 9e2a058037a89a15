"""A vision model as reader, or as judge of yes/no questions.

Each judge has a full name (model, purpose, settings) under which its answers are cached and its numbers stand. The
reading prompt is that of LongText-Bench and OneIG-Bench.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image

from inkwash.eval.benchmarks.chat import MalformedAnswer, VisionClient
from inkwash.eval.benchmarks.lettering import without_refusal
from inkwash.eval.predictions import AnswerCache, picture_hash

T = TypeVar("T")

READ_PROMPT = (
    "Recognize the text in the image, only reply with the text content, but avoid repeating previously mentioned "
    "content. If no text is recognized, please reply with 'No text recognized'."
)
READ_TOKENS = 1024
ANSWER_TOKENS = 128


class VlmReader:
    """Reads the text of a picture; the same interface as the OCR reader."""

    def __init__(self, client: VisionClient, *, max_tokens: int = READ_TOKENS, tokens_in_name: str = "") -> None:
        """`tokens_in_name` replaces the number of tokens where several readers work under one name."""
        self.client = client
        self.max_tokens = max_tokens
        self.name = judge_name(client, f"longtext-prompt,max_tokens={tokens_in_name or max_tokens}")

    def texts(self, image: Image.Image) -> list[str]:
        """The lines of the answer, none for a picture without text."""
        answer = self.client.ask(READ_PROMPT, [image], without_refusal, max_tokens=self.max_tokens)
        return [line for line in answer.splitlines() if line.strip()]


class YesNoJudge:
    """Answers questions about a picture; every answer is cached with the picture and the question."""

    def __init__(self, client: VisionClient, cache: Path | None, *, prompt: str, purpose: str, exact: bool = False):
        """`prompt` holds `{question}`, `purpose` stands in the name; `exact` keeps the model's answer as it is."""
        self.client = client
        self.prompt = prompt
        self.accept: Callable[[str], str] = str if exact else plain_yes_no
        self.name = judge_name(client, f"{purpose},max_tokens={ANSWER_TOKENS}")
        self.cache = AnswerCache(self.name, cache)

    def answer(self, image: Image.Image, question: str) -> str:
        """The exact answer, or `yes` or `no` whatever its case and full stop."""

        def ask() -> str:
            prompt = self.prompt.format(question=question)
            return self.client.ask(prompt, [image], self.accept, max_tokens=ANSWER_TOKENS)

        return str(self.cache.get_or_ask(picture_hash(image), question, ask))


def plain_yes_no(answer: str) -> str:
    """`yes` or `no` from an answer that may carry a capital, quotes or a full stop."""
    word = answer.strip().strip(".!\"'").lower()
    if word not in ("yes", "no"):
        raise MalformedAnswer(f"neither yes nor no ({answer[:60]!r})")
    return word


def parsed_by(parse: Callable[[str], T | None], expected: str) -> Callable[[str], T]:
    """A function for `VisionClient.ask` from a parser that returns None for an answer of another form."""

    def accept(answer: str) -> T:
        parsed = parse(answer)
        if parsed is None:
            raise MalformedAnswer(f"{expected} ({answer[:60]!r})")
        return parsed

    return accept


def judge_name(client: VisionClient, settings: str) -> str:
    """The full name of a judge: the model, what it is asked and how."""
    return f"{client.endpoint.model.lower()}[{settings},temperature={client.endpoint.temperature:g}]"
