"""Vision models as judges: reading a picture, answering yes or no, giving points for an edit.

Each judge has a full name (model, purpose, settings) under which its answers are cached and its numbers stand. The
reading prompt is that of LongText-Bench and OneIG-Bench, the alignment question that of OneIG-Bench; ImgEdit's prompts
come from the user's copy. TIIF's judge prompts have no licence, so ours are used and its name says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from inkwash.eval.benchmarks import gedit, imgedit, tiif
from inkwash.eval.benchmarks.chat import Malformed, VisionClient
from inkwash.eval.benchmarks.lettering import without_refusal
from inkwash.eval.predictions import Memory, picture_hash

READ_PROMPT = (
    "Recognize the text in the image, only reply with the text content, but avoid repeating previously mentioned "
    "content. If no text is recognized, please reply with 'No text recognized'."
)
ONEIG_QUESTION = "{question}. Please answer 'Yes' or 'No' only."
DPG_QUESTION = "{question} Answer with one word, yes or no."
GENEVAL_QUESTION = (
    'Does the picture show exactly this, with every object, number, colour and position right: "{question}"? '
    "Answer with one word, yes or no."
)
TIIF_SYSTEM = "You check pictures against questions."
TIIF_QUESTIONS = (
    "Look at the picture and answer each of these {count} questions, in order, with yes or no.\n{questions}\n"
    "Write exactly {count} lines; each line begins with yes or no and holds nothing else."
)
READ_TOKENS = 1024
ANSWER_TOKENS = 128
POINTS_TOKENS = 1024


class VlmReader:
    """Reads the text of a picture; the same interface as the OCR reader."""

    def __init__(self, client: VisionClient, *, max_tokens: int = READ_TOKENS, told: str = "") -> None:
        """`told` is how the name tells the tokens, where several readers work under one name."""
        self.client = client
        self.max_tokens = max_tokens
        self.name = _name(client, f"longtext-prompt,max_tokens={told or max_tokens}")

    def texts(self, image: Image.Image) -> list[str]:
        """The lines of the answer, none for a picture without text."""
        answer = self.client.ask(READ_PROMPT, [image], without_refusal, max_tokens=self.max_tokens)
        return [line for line in answer.splitlines() if line.strip()]


class YesNoJudge:
    """Answers questions about a picture; what was answered is remembered with the picture and the question."""

    def __init__(self, client: VisionClient, memory_path: Any = None, *, style: str = "oneig") -> None:
        prompts = {"oneig": ONEIG_QUESTION, "dpg": DPG_QUESTION, "geneval": GENEVAL_QUESTION}
        self.client = client
        self.prompt = prompts[style]
        self.raw = style == "oneig"  # whose metric looks at the exact string
        own = "own-" if style == "geneval" else ""  # GenEval's own judge is a detector
        self.name = _name(client, f"{own}{style}-question,max_tokens={ANSWER_TOKENS}")
        self.memory = Memory(self.name, memory_path)

    def answer(self, image: Image.Image, question: str) -> str:
        """The exact answer (OneIG), or `yes` or `no` whatever its case and full stop (DPG)."""

        def ask() -> str:
            prompt = self.prompt.format(question=question)
            return self.client.ask(prompt, [image], str if self.raw else plain_yes_no, max_tokens=ANSWER_TOKENS)

        return str(_remembered(self.memory, picture_hash(image), question, ask))


class TiifJudge:
    """Answers all questions about a picture in one call, one line each."""

    def __init__(self, client: VisionClient, memory_path: Any = None) -> None:
        self.client = client
        self.name = _name(client, f"own-tiif-prompt,max_tokens={READ_TOKENS}")
        self.memory = Memory(self.name, memory_path)

    def answers(self, image: Image.Image, questions: Sequence[str]) -> tuple[str, ...]:
        """`yes` or `no` for every question; an answer of another length is asked for again."""
        listed = "\n".join(f"{number}. {question}" for number, question in enumerate(questions, start=1))
        prompt = TIIF_QUESTIONS.format(count=len(questions), questions=listed)

        def accept(answer: str) -> list[str]:
            parsed = tiif.parse_answers(answer, len(questions))
            if parsed is None:
                raise Malformed(f"not {len(questions)} lines of yes or no ({answer[:60]!r})")
            return list(parsed)

        def ask() -> list[str]:
            return self.client.ask(prompt, [image], accept, max_tokens=READ_TOKENS, system=TIIF_SYSTEM)

        return tuple(_remembered(self.memory, picture_hash(image), listed, ask))


class ImgEditJudge:
    """Gives three points from 1 to 5 for an edit, seeing the original and the result."""

    def __init__(self, client: VisionClient, prompts: Mapping[str, str], memory_path: Any = None) -> None:
        self.client = client
        self.prompts = prompts
        self.name = _name(client, f"imgedit-prompts,max_tokens={POINTS_TOKENS}")
        self.memory = Memory(self.name, memory_path)

    def points(self, source: Image.Image, edited: Image.Image, case: imgedit.Case) -> tuple[int, ...]:
        """The points of one case; an answer without three of them is asked for again."""
        prompt = imgedit.judge_prompt(self.prompts, case)

        def accept(answer: str) -> list[int]:
            parsed = imgedit.parse_scores(answer)
            if parsed is None:
                raise Malformed(f"not three points from 1 to 5 ({answer[:60]!r})")
            return list(parsed)

        def ask() -> list[int]:
            images = [source, edited]
            return self.client.ask(prompt, images, accept, max_tokens=POINTS_TOKENS, images_first=False)

        asked = f"{prompt}\n{picture_hash(source)}"
        return tuple(int(value) for value in _remembered(self.memory, picture_hash(edited), asked, ask))


class VieScoreJudge:
    """Gives an edit VIEScore's four scores, obedience seeing both pictures and quality the result only."""

    def __init__(self, client: VisionClient, prompts: gedit.JudgePrompts, memory_path: Any = None) -> None:
        self.client = client
        self.prompts = prompts
        self.name = _name(client, f"viescore-tie,max_tokens={POINTS_TOKENS}")
        self.memory = Memory(self.name, memory_path)

    def scores(
        self, source: Image.Image, edited: Image.Image, instruction: str
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(success, over-editing) and (naturalness, artifacts), each 0 to 10."""
        obedience = self.prompts.obedience.replace("<instruction>", instruction)
        asked = f"{obedience}\n{picture_hash(source)}"
        return self._asked(obedience, [source, edited], asked), self._asked(
            self.prompts.quality, [edited], self.prompts.quality
        )

    def _asked(self, prompt: str, images: list[Image.Image], asked: str) -> tuple[float, ...]:
        def accept(answer: str) -> list[float]:
            parsed = gedit.parse_scores(answer)
            if parsed is None:
                raise Malformed(f"no two scores from 0 to 10 ({answer[:60]!r})")
            return list(parsed)

        def ask() -> list[float]:
            return self.client.ask(prompt, images, accept, max_tokens=POINTS_TOKENS)

        return tuple(float(value) for value in _remembered(self.memory, picture_hash(images[-1]), asked, ask))


def is_plain_yes(answer: str) -> bool:
    """Whether an answer of `plain_yes_no` is a yes."""
    return answer == "yes"


def plain_yes_no(answer: str) -> str:
    """`yes` or `no` from an answer that may carry a capital, quotes or a full stop."""
    word = answer.strip().strip(".!\"'").lower()
    if word not in ("yes", "no"):
        raise Malformed(f"neither yes nor no ({answer[:60]!r})")
    return word


def _remembered(memory: Memory, picture: str, question: str, ask: Any) -> Any:
    if (picture, question) not in memory:
        memory.put(picture, question, ask())
    return memory.get(picture, question)


def _name(client: VisionClient, settings: str) -> str:
    return f"{client.endpoint.model.lower()}[{settings},temperature={client.endpoint.temperature:g}]"
