"""What a benchmark wants drawn: one `Sheet` per file of the official layout.

A sheet is one picture, or a grid of four where the official scorer wants grids. `beside` are the files that the
official scripts expect next to the pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inkwash.core.errors import MediaError
from inkwash.eval.benchmarks import cvtg2k, dpg, gedit, geneval, imgedit, longtext, oneig, tiif
from inkwash.eval.benchmarks.pictures import ANY, Spot
from inkwash.eval.benchmarks.results import Scoring


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One file to be drawn."""

    spot: Spot
    prompt: str
    cells: int = 1  # pictures pasted row by row, two in a row
    source: Path | None = None  # the picture that the prompt edits
    texts: tuple[tuple[str, str], ...] = ()  # (path, content) of text files beside it
    copy: str | None = None  # where a copy of the source belongs, as PNG

    @property
    def file(self) -> str:
        """The path below the folder."""
        return self.spot.example


def sheets(run: Scoring) -> list[Sheet]:
    """Every file of a run, in the order of the prompts; `run.system` names the model where a layout does."""
    kinds: dict[str, Callable[[Scoring], list[Sheet]]] = {
        "cvtg2k": _cvtg2k,
        "longtext-en": _longtext,
        "longtext-zh": _longtext,
        "oneig-en": _oneig,
        "oneig-zh": _oneig,
        "tiif": _tiif,
        "dpg": _dpg,
        "geneval": _geneval,
        "gedit": _gedit,
        "imgedit": _imgedit,
    }
    return kinds[run.task](run)


def _cvtg2k(run: Scoring) -> list[Sheet]:
    return [Sheet(spot=prompt.spot, prompt=prompt.prompt) for prompt in cvtg2k.read_prompts(run.data, run.limit)]


def _longtext(run: Scoring) -> list[Sheet]:
    prompts = longtext.read_prompts(run.data, run.task.removeprefix("longtext-"), run.limit)
    return [Sheet(spot=spot, prompt=prompt.prompt) for prompt in prompts for spot in prompt.spots(run.samples)]


def _oneig(run: Scoring) -> list[Sheet]:
    prompts = oneig.read_prompts(run.data, run.task.removeprefix("oneig-"), run.limit)
    return [Sheet(spot=prompt.spot(_system(run)), prompt=prompt.prompt, cells=4) for prompt in prompts]


def _tiif(run: Scoring) -> list[Sheet]:
    prompts = tiif.read_prompts(run.data, run.split, run.limit)
    return [
        Sheet(spot=prompt.spot(_system(run), length), prompt=prompt.short if length == "short" else prompt.long)
        for prompt in prompts
        for length in tiif.LENGTHS
    ]


def _dpg(run: Scoring) -> list[Sheet]:
    prompts = dpg.read_prompts(run.data, run.limit)
    return [Sheet(spot=prompt.spot, prompt=prompt.prompt, cells=dpg.CELLS) for prompt in prompts]


def _geneval(run: Scoring) -> list[Sheet]:
    return [
        Sheet(
            spot=spot,
            prompt=prompt.prompt,
            texts=((f"{prompt.folder}/metadata.jsonl", prompt.metadata()),),
        )
        for prompt in geneval.read_prompts(run.data, run.limit)
        for spot in prompt.spots(run.samples)
    ]


def _gedit(run: Scoring) -> list[Sheet]:
    prompts = gedit.read_prompts(run.data / gedit.PROMPTS, run.language, run.limit)
    return [
        Sheet(
            spot=prompt.spot,
            prompt=prompt.instruction,
            source=_source(run.sources or run.data / "sources", prompt.key),
            copy=prompt.source.example,
        )
        for prompt in prompts
    ]


def _imgedit(run: Scoring) -> list[Sheet]:
    return [
        Sheet(spot=case.spot, prompt=case.instruction, source=imgedit.source_file(run.source_folder, case))
        for case in imgedit.read_cases(run.data, run.limit)
    ]


def _source(folder: Path, key: str) -> Path:
    for suffix in ANY:
        if (folder / f"{key}{suffix}").is_file():
            return folder / f"{key}{suffix}"
    raise MediaError(
        f"{folder} has no picture {key}.png; save the data set's pictures there, or name their folder with --sources."
    )


def _system(run: Scoring) -> str:
    assert run.system is not None, "a layout with the model's name needs one"
    return run.system
