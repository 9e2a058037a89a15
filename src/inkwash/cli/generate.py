"""``inkwash generate``: a prompt becomes one or several pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inkwash.cli import options as o


def generate(
    prompt: o.PromptOrFile = None,
    prompts: o.Prompts = None,
    output: o.Output = Path("out.png"),
    model: o.Model = "nano",
    size: o.SizeText = None,
    steps: o.Steps = None,
    guidance: o.Guidance = None,
    negative: o.Negative = None,
    seed: o.Seed = None,
    n: o.Count = 1,
    layout: o.LayoutChoice = "new",
    temperature: o.Temperature = None,
    top_p: o.TopP = None,
    device: o.DeviceName = None,
    dtype: o.Dtype = None,
    lora: o.Loras = None,
    verify: o.Verify = False,
    tries: o.Tries = None,
    best_of: o.BestOf = None,
    quality: o.Quality = "exact",
    offload: o.Offload = "none",
    quantize: o.Quantize = None,
    compile: o.Compile = False,
    overwrite: o.Overwrite = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Draw pictures from a prompt, or from every line of a file.

    Example: inkwash generate 'A poster that says "HELLO"' -o poster.png --seed 7 --verify
    """
    from inkwash.cli.draw import draw
    from inkwash.cli.prompts import read_prompts
    from inkwash.cli.settings import DrawJob, draw_request, pace, read_loras, read_prompt, verification
    from inkwash.core.errors import RequestError
    from inkwash.core.types import Size
    from inkwash.engine.open import LoadOptions

    load = LoadOptions(
        model=model,
        device=device,
        dtype=dtype,
        offload=offload,
        quantize=quantize,
        compile=compile,
        loras=read_loras(lora),
    )
    steps, guidance = pace(model, steps, guidance)
    checks = verification(verify, tries, best_of)
    usual = {
        "size": None if size is None else Size.parse(size),
        "steps": steps,
        "guidance": guidance,
        "negative": negative,
        "seed": seed,
        "n": n,
        "layout": layout,
        "temperature": temperature,
        "top_p": top_p,
        "quality": quality,
    }

    def make(*, output: Path = output, **own: Any) -> DrawJob:
        request = draw_request(**{**usual, **own})
        return DrawJob(request=request, load=load, output=output, verify=checks, overwrite=overwrite)

    if prompt is not None and prompts is None:
        drawings = [make(prompt=read_prompt(prompt))]
    elif prompts is not None and prompt is None:
        drawings = read_prompts(prompts, make)
    else:
        given = "Neither a prompt nor" if prompt is None else "Both a prompt and"
        raise RequestError(f"{given} --prompts FILE was given: give one of them.", param="prompt")
    draw(drawings, as_json=json, quiet=quiet)
