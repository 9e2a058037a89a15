"""The networks behind `inkwash data encode`: ViT + VQ for semantic tokens, the VAE for latents, the tokenizer.

Per example: `tokens` (h, w) of the target, `preview` (h', w') of its preview grid when it has no references, `latents`
(C, H/8, W/8) normalised, `ids` of the prompt exactly as the AR generator reads it (placeholders where references'
tokens go), and `reference0.tokens`, `reference0.latents` ... All networks run in fp32, one after another, frozen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from inkwash.core.device import pick_device
from inkwash.data.buckets import Buckets
from inkwash.data.encode import OpenedExample, Outcome, encode, run_here
from inkwash.data.folder import Example
from inkwash.data.scenes import half_size
from inkwash.models.glm_image.ar import VisionEncoder, VQModel
from inkwash.models.glm_image.config import ARConfig, VAEConfig
from inkwash.models.glm_image.folder import PARTS
from inkwash.models.glm_image.processor import CELL, GlmImageProcessor, preview_grid, vae_pixels
from inkwash.models.glm_image.quotes import glyph_texts
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.glm_image.weights import AR_KEYS
from inkwash.models.registry import resolve
from inkwash.models.tensor_files import read_json
from inkwash.models.weights import KeyTable, load_module
from inkwash.train.ar import preview_tokens
from inkwash.train.tokenizer import token_grid

EYES_ONLY = KeyTable(dropped=(*AR_KEYS.dropped, "model.language_model.*", "lm_head.weight"))


class VisionTower(nn.Module):
    """ViT and VQ under the names that a checkpoint gives them; the 9B decoder beside them is not loaded."""

    def __init__(self, config: ARConfig) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.visual = VisionEncoder(config.vision_config)
        self.model.vqmodel = VQModel(config.vq_config)


class SampleEncoder:
    """An `inkwash.data.encode.Encoder` of one checkpoint."""

    def __init__(self, model: str | Path, device: str | torch.device | None = None) -> None:
        folder = resolve(model)
        self.device = pick_device(device)
        ar = ARConfig.from_dict(read_json(folder / "vision_language_encoder" / "config.json"))
        vae = VAEConfig.from_dict(read_json(folder / "vae" / PARTS["vae"].config_file))
        eyes = load_module(
            lambda: VisionTower(ar),
            folder / "vision_language_encoder",
            dtype=torch.float32,
            device=self.device,
            keys=EYES_ONLY,
        ).requires_grad_(False)
        self.vision, self.vq = cast("VisionEncoder", eyes.model.visual), cast("VQModel", eyes.model.vqmodel)
        self.vae = load_module(lambda: AutoencoderKL(vae), folder / "vae", dtype=torch.float32, device=self.device)
        self.vae.requires_grad_(False)
        self.processor = GlmImageProcessor.from_folder(folder / "processor")

    @property
    def side(self) -> int:
        """The square canvas that the checkpoint was made for, in px."""
        return self.vae.config.sample_size // CELL * CELL

    @property
    def meta(self) -> dict[str, Any]:
        """What belongs to the data set: training compares these fingerprints with those of its own networks."""
        return {"codes": self.vq.config.num_embeddings, **checkpoint_fingerprints(self.vq, self.vae, self.processor)}

    @torch.no_grad()
    def __call__(self, pictures: Sequence[OpenedExample]) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
        images = [picture.image for picture in pictures]
        tokens, latents = self._tokens(images), self._latents(images)
        previews = self._previews(images, tokens)
        found = []
        for i, picture in enumerate(pictures):
            arrays = {"tokens": _ids(tokens[i]), "latents": latents[i]}
            if not picture.references:
                arrays["preview"] = _ids(previews[i])
            prompt = self.processor.prepare(
                picture.prompt, picture.image.height, picture.image.width, picture.references
            )
            arrays["ids"] = prompt.ids.numpy().astype(np.int32)
            for number, reference in enumerate(prompt.references):
                semantic_ids = self.vq.encode(self.vision(reference.pixels[None].to(self.device)))
                arrays[f"reference{number}.tokens"] = _ids(semantic_ids.view(reference.grid))
                arrays[f"reference{number}.latents"] = self._encode(reference.picture[None])[0]
            found.append(({"texts": glyph_texts(picture.prompt)}, arrays))
        return found

    def _tokens(self, images: Sequence[Image.Image]) -> Tensor:
        half = torch.from_numpy(np.stack([half_size(image) for image in images])).to(self.device)
        return token_grid(self.vision, self.vq, half)

    def _previews(self, images: Sequence[Image.Image], tokens: Tensor) -> Tensor:
        """The picture on a larger canvas where the preview is finer than the target (nano), else seen anew, smaller."""
        grid = preview_grid(tokens.shape[1], tokens.shape[2])
        if tokens.shape[1] <= grid[0] and tokens.shape[2] <= grid[1]:
            return preview_tokens(tokens, grid)
        size = (grid[1] * CELL, grid[0] * CELL)
        return self._tokens([image.resize(size, Image.Resampling.LANCZOS) for image in images])

    def _latents(self, images: Sequence[Image.Image]) -> np.ndarray:
        return self._encode(torch.stack([vae_pixels(image) for image in images]))

    def _encode(self, pixels: Tensor) -> np.ndarray:
        mean, _ = self.vae.encode(pixels.to(self.device))
        return self.vae.normalize(mean).float().cpu().numpy().astype(np.float16)


def encode_examples(
    examples: Sequence[Example],
    out: Path,
    model: str,
    *,
    device: str | torch.device | None = None,
    buckets: Buckets | None = None,
    **settings: Any,
) -> Outcome:
    """Encode with a checkpoint, at its own size unless `buckets` are given; `settings` are those of `data.encode`."""
    encoder = SampleEncoder(model, device)
    buckets = buckets or Buckets(sides=(encoder.side,))
    here = settings.get("runner", run_here) is run_here
    make = (lambda: encoder) if here else partial(SampleEncoder, model, device)
    return encode(examples, out, make, meta=encoder.meta, buckets=buckets, **settings)


def _ids(tokens: Tensor) -> np.ndarray:
    return tokens.cpu().numpy().astype(np.int32)


def checkpoint_fingerprints(vq: VQModel, vae: AutoencoderKL, processor: GlmImageProcessor) -> dict[str, str]:
    """Short hashes of what gives stored numbers their meaning: codebook, autoencoder, tokenizer."""
    return {
        "codebook": _fingerprint(vq.quantize.embedding.weight, vq.quant_conv.weight),
        "autoencoder": _fingerprint(*list(vae.parameters())[:4]),
        "tokenizer": hashlib.sha256(processor.files["tokenizer.json"]).hexdigest()[:16],
    }


def _fingerprint(*tensors: Tensor) -> str:
    """A hash that does not depend on the number type a checkpoint was loaded in."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().to("cpu", torch.bfloat16).float().numpy().tobytes())
    return digest.hexdigest()[:16]
