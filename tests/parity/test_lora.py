"""An adapter's file means the same to `peft` around the reference's network and to our engine around ours."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
import torch

from inkwash.engine.adapters import Adapters
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.train.lora import LoRA, add_lora, save_adapter


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("torchao").setLevel(logging.ERROR)


def adapter(tiny_folder: Path, part: str, folder: Path) -> Path:
    """An adapter with numbers in it, as training would leave it."""
    parts = load_pipeline_parts(tiny_folder)
    network = parts.ar if part == "vision_language_encoder" else parts.decoder
    wrapped = add_lora(network, part, LoRA(rank=3, alpha=6.0))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
    return save_adapter(wrapped, folder / part, base=str(tiny_folder))


def test_the_decoder_with_an_adapter_is_the_references(tiny_folder: Path, tmp_path: Path) -> None:
    import diffusers
    import peft

    folder = adapter(tiny_folder, "transformer", tmp_path)
    reference = diffusers.GlmImageTransformer2DModel.from_pretrained(tiny_folder / "transformer").eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.PeftModel.from_pretrained(reference, str(folder))
    parts = load_pipeline_parts(tiny_folder)
    Adapters(parts).load(tmp_path)
    for name, module in reference.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        ours = parts.decoder.get_submodule(name).get_parameter("weight")
        theirs = module.base_layer.weight + module.get_delta_weight("default")
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_generator_with_an_adapter_is_the_references(tiny_folder: Path, tmp_path: Path) -> None:
    import peft
    import transformers

    folder = adapter(tiny_folder, "vision_language_encoder", tmp_path)
    reference = transformers.GlmImageForConditionalGeneration.from_pretrained(tiny_folder / "vision_language_encoder")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.PeftModel.from_pretrained(reference, str(folder))
    parts = load_pipeline_parts(tiny_folder)
    Adapters(parts).load(tmp_path)
    wrapped = {name: module for name, module in reference.named_modules() if hasattr(module, "lora_A")}
    assert any("lm_head" in name for name in wrapped) and len(wrapped) > 10
    for name, module in wrapped.items():
        ours = parts.ar.get_submodule(name).get_parameter("weight")
        theirs = module.base_layer.weight + module.get_delta_weight("default")
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
