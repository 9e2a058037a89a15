"""``inkwash generate``: a prompt becomes one or several pictures."""

from __future__ import annotations

from pathlib import Path

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
    from functools import partial

    from inkwash.cli.draw import draw
    from inkwash.cli.prompts import read_prompts
    from inkwash.cli.settings import DrawSettings, draw_seed, pace, read_loras, read_prompt, verification
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
    make = partial(
        DrawSettings,
        output=output,
        load=load,
        size=None if size is None else Size.parse(size),
        steps=steps,
        guidance=guidance,
        negative=negative,
        seed=draw_seed() if seed is None else seed,
        n=n,
        layout=layout,
        temperature=temperature,
        top_p=top_p,
        quality=quality,
        verify=verification(verify, tries, best_of),
        overwrite=overwrite,
    )
    if prompt is not None and prompts is None:
        drawings = [make(prompt=read_prompt(prompt))]
    elif prompts is not None and prompt is None:
        drawings = read_prompts(prompts, make, drawn_seed=seed is None)
    else:
        given = "Neither a prompt nor" if prompt is None else "Both a prompt and"
        raise RequestError(f"{given} --prompts FILE was given: give one of them.", param="prompt")
    draw(drawings, as_json=json, quiet=quiet)
