"""`inkwash generate`: a prompt becomes one or several pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inkwash.cli import options as o
from inkwash.cli.command import command
from inkwash.cli.draw_options import DrawOptions, ModelOptions, OutputOptions, VerifyOptions, WeightOptions


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """What to draw."""

    prompt: o.PromptOrFile = None
    prompts: o.Prompts = None


def _generate(
    asked: PromptOptions,
    drawing: DrawOptions,
    picked: ModelOptions,
    weights: WeightOptions,
    check: VerifyOptions,
    out: OutputOptions,
) -> None:
    """Draw pictures from a prompt, or from every line of a file.

    Example: inkwash generate 'A poster that says "HELLO"' -o poster.png --seed 7 --verify
    """
    from inkwash.cli.draw import draw
    from inkwash.cli.draw_options import DrawJob, read_prompt
    from inkwash.cli.prompts import read_prompts
    from inkwash.core.errors import RequestError

    load, usual, rules = weights.load(picked.model), drawing.of_model(picked.model), check.rules()

    def make(prompt: str, *, output: Path = out.output, **own: Any) -> DrawJob:
        request = replace(usual, **own).request(prompt)
        return DrawJob(request=request, load=load, output=output, verify=rules, overwrite=out.overwrite)

    if asked.prompt is not None and asked.prompts is None:
        jobs = [make(read_prompt(asked.prompt))]
    elif asked.prompts is not None and asked.prompt is None:
        jobs = read_prompts(asked.prompts, make)
    else:
        given = "Neither a prompt nor" if asked.prompt is None else "Both a prompt and"
        raise RequestError(f"{given} --prompts FILE was given: give one of them.", param="prompt")
    draw(jobs, as_json=out.json, quiet=out.quiet)


generate = command(_generate, PromptOptions, DrawOptions, ModelOptions, WeightOptions, VerifyOptions, OutputOptions)
