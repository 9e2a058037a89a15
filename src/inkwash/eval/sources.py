"""Where the scored pictures come from: four cuts through the model that say which part loses the words.

`ar` draws from the prompt; `teacher` skips the AR generator and gives the decoder the semantic tokens of the true
picture; `vae` only takes the true picture through the autoencoder; `truth` is the rendered scene, which tests judge
and world. Each is a function from case numbers to pictures; each picture has its own seed, so the batch size changes
none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from inkwash.core import limits
from inkwash.core.errors import ConfigError
from inkwash.engine.request import DrawRequest, PlanOverrides
from inkwash.eval.run import Draw
from inkwash.eval.tasks.edits import EditCase
from inkwash.eval.tasks.scenes import Case
from inkwash.scenes.render import render

if TYPE_CHECKING:
    import torch

    from inkwash.engine.output import GlmImagePipelineOutput
    from inkwash.engine.pipeline import GlmImagePipeline

SOURCES = ("ar", "teacher", "vae", "truth")


@dataclass(frozen=True, kw_only=True)
class DrawConfig(PlanOverrides):
    """How the model is asked; picture i has seed + i."""

    seed: int = 0
    steps: int | None = None  # None: the model's own
    guidance: float | None = None  # None: the reference's
    cancel: Any = None  # the engine's CancelToken

    def __post_init__(self) -> None:
        super().__post_init__()
        self.request(0, prompt="checks the values")

    def settings(self) -> dict[str, Any]:
        """What is written beside the pictures."""
        return {"seed": self.seed, "steps": self.steps, "guidance": self.guidance, **self.asked_plan()}

    def request(self, number: int, **fields: Any) -> DrawRequest:
        """The request of picture `number`; `fields` say what is drawn."""
        chosen = {"num_inference_steps": self.steps, "guidance_scale": self.guidance}
        settings = {name: value for name, value in chosen.items() if value is not None}
        seed = limits.check_seed(self.seed) + number
        return DrawRequest(**{**self.asked_plan(), "seed": seed, **settings, **fields})


def drawer(source: str, cases: Sequence[Case], pipe: GlmImagePipeline | None, config: DrawConfig) -> Draw:
    """The function that draws cases; `truth` needs no pipeline."""
    if source not in SOURCES:
        raise ConfigError(f"the source is {source!r}; it must be one of {', '.join(SOURCES)}.")
    if source == "truth":
        return lambda numbers: [render(cases[i].scene) for i in numbers]
    assert pipe is not None, f"the source {source} needs a model"
    draws: dict[str, Callable[..., Draw]] = {"ar": _from_prompt, "teacher": _from_truth_tokens, "vae": _through_vae}
    return draws[source](cases, pipe, config)


def edit_drawer(cases: Sequence[EditCase], pipe: GlmImagePipeline, config: DrawConfig) -> Draw:
    """The function that draws edits: the instruction with the rendered source scenes as reference pictures."""

    def draw(numbers: Sequence[int]) -> Sequence[Image.Image]:
        size = {"height": cases[numbers[0]].edit.target.height, "width": cases[numbers[0]].edit.target.width}
        requests = [
            config.request(i, prompt=edit.instruction, images=tuple(render(scene) for scene in edit.sources), **size)
            for i, edit in ((i, cases[i].edit) for i in numbers)
        ]
        return _images(pipe.draw(requests, cancel=config.cancel))

    return draw


def _from_prompt(cases: Sequence[Case], pipe: GlmImagePipeline, config: DrawConfig) -> Draw:
    def draw(numbers: Sequence[int]) -> Sequence[Image.Image]:
        return _images(pipe.draw(_requests(cases, numbers, config), cancel=config.cancel))

    return draw


def _from_truth_tokens(cases: Sequence[Case], pipe: GlmImagePipeline, config: DrawConfig) -> Draw:
    def draw(numbers: Sequence[int]) -> Sequence[Image.Image]:
        from inkwash.engine.output import Plan

        plan = Plan(true_tokens(pipe, [render(cases[i].scene) for i in numbers]))
        return _images(pipe.draw(_requests(cases, numbers, config), plan=plan, cancel=config.cancel))

    return draw


def _requests(cases: Sequence[Case], numbers: Sequence[int], config: DrawConfig) -> list[DrawRequest]:
    """The scenes of one batch, which are of one size."""
    scene = cases[numbers[0]].scene
    return [config.request(i, prompt=cases[i].prompt, height=scene.height, width=scene.width) for i in numbers]


def _images(output: GlmImagePipelineOutput) -> Sequence[Image.Image]:
    images: Sequence[Image.Image] = output.images
    return images


def _through_vae(cases: Sequence[Case], pipe: GlmImagePipeline, config: DrawConfig) -> Draw:
    def draw(numbers: Sequence[int]) -> Sequence[Image.Image]:
        return [vae_round_trip(pipe, render(cases[i].scene)) for i in numbers]

    return draw


def true_tokens(pipe: GlmImagePipeline, images: Sequence[Image.Image]) -> torch.Tensor:
    """Semantic tokens (B, N) of equally large pictures, on the decoder's grid of 16 x 16 pixels."""
    import numpy as np
    import torch
    from einops import rearrange, repeat

    from inkwash.data.scenes import half_size

    settings, weight = pipe.parts.processor.pictures, next(pipe.parts.ar.parameters())
    pixels = torch.from_numpy(np.stack([half_size(image) for image in images])).float() * settings.rescale_factor
    normal = (pixels - torch.tensor(settings.image_mean)) / torch.tensor(settings.image_std)
    with torch.no_grad():
        ids = pipe.parts.ar.image_ids(rearrange(normal, "b h w c -> b c h w").to(weight.device, weight.dtype))
    rows = images[0].height // (2 * settings.patch_size)
    return repeat(ids, "b (h w) -> b (h p w q)", h=rows, p=2, q=2)


def vae_round_trip(pipe: GlmImagePipeline, image: Image.Image) -> Image.Image:
    """A picture encoded and decoded by the autoencoder, with nothing in between."""
    import numpy as np
    import torch
    from einops import rearrange

    from inkwash.engine.output import decode_latents, encode_picture, to_output

    values = torch.from_numpy(np.asarray(image, dtype=np.float32) / 127.5 - 1.0)
    latents = encode_picture(pipe.parts.vae, rearrange(values, "h w c -> c h w"))
    decoded: Image.Image = to_output(decode_latents(pipe.parts.vae, latents), "pil")[0]
    return decoded
