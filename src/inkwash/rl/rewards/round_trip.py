"""A picture through the autoencoder and back, for the evaluator of details: what a perfect decoder would draw."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from inkwash.engine.output import decode_latents, encode_picture, to_output
from inkwash.models.glm_image.processor import vae_pixels
from inkwash.models.glm_image.vae import AutoencoderKL


@dataclass(frozen=True)
class RoundTripVAE:
    """Callable on RGB pictures whose sides the autoencoder takes."""

    vae: AutoencoderKL

    def __call__(self, image: Image.Image) -> Image.Image:
        made: Image.Image = to_output(decode_latents(self.vae, encode_picture(self.vae, vae_pixels(image))), "pil")[0]
        return made
