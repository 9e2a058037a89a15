"""``inkwash edit``: a prompt and one or several pictures become a new picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inkwash.cli import options as o

Images = Annotated[list[Path], typer.Option("--image", help="A picture to start from; give it again for more.")]
Mask = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        help="Picture of the first one's size. What is transparent may change; in one without transparency, what is "
        "white.",
    ),
]


def edit(
    prompt: o.Prompt,
    image: Images,
    mask: Mask = None,
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
    """Draw from a prompt and one or several pictures.

    Example: inkwash edit 'Replace the background with blue' --image poster.png -o blue.png
    """
    from inkwash.cli.draw import draw
    from inkwash.cli.settings import DrawJob, draw_request, pace, read_loras, read_prompt, verification
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
    request = draw_request(
        prompt=read_prompt(prompt),
        size=None if size is None else Size.parse(size),
        steps=steps,
        guidance=guidance,
        negative=negative,
        seed=seed,
        n=n,
        layout=layout,
        temperature=temperature,
        top_p=top_p,
        quality=quality,
    )
    job = DrawJob(
        request=request,
        load=load,
        output=output,
        images=tuple(image),
        mask=mask,
        verify=verification(verify, tries, best_of),
        overwrite=overwrite,
    )
    draw([job], as_json=json, quiet=quiet)
