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


def adapter(tiny_folder: Path, part: str, folder: Path, alpha: float = 6.0) -> Path:
    """An adapter with numbers in it, as training would leave it."""
    parts = load_pipeline_parts(tiny_folder)
    network = parts.ar if part == "vision_language_encoder" else parts.decoder
    wrapped = add_lora(network, part, LoRA(rank=3, alpha=alpha))
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


@pytest.mark.parametrize("alpha", [1.5, 3.0, 24.0])
def test_diffusers_reads_ours_with_its_alpha(tiny_folder: Path, tmp_path: Path, alpha: float) -> None:
    """`pytorch_lora_weights.safetensors` beside the folders of PEFT, by diffusers' own loader, at any alpha."""
    import diffusers

    from inkwash.train.lora import join_for_diffusers

    adapter(tiny_folder, "transformer", tmp_path / "lora", alpha=alpha)
    adapter(tiny_folder, "vision_language_encoder", tmp_path / "lora", alpha=alpha)
    join_for_diffusers(tmp_path / "lora")
    reference = diffusers.GlmImageTransformer2DModel.from_pretrained(tiny_folder / "transformer").eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference.load_lora_adapter(
            str(tmp_path / "lora"), weight_name="pytorch_lora_weights.safetensors", use_safetensors=True
        )
    parts = load_pipeline_parts(tiny_folder)
    before = {name: value.clone() for name, value in parts.decoder.state_dict().items()}
    Adapters(parts).load(tmp_path / "lora" / "pytorch_lora_weights.safetensors")
    wrapped = {name: module for name, module in reference.named_modules() if hasattr(module, "lora_A")}
    assert len(wrapped) > 10
    for name, module in wrapped.items():
        theirs = module.get_delta_weight(next(iter(module.lora_A)))
        ours = parts.decoder.get_submodule(name).get_parameter("weight") - before[f"{name}.weight"]
        assert theirs.abs().max() > 0
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_what_diffusers_writes_is_read(tiny_folder: Path, tmp_path: Path) -> None:
    import diffusers
    import peft

    reference = diffusers.GlmImageTransformer2DModel.from_pretrained(tiny_folder / "transformer").eval()
    config = peft.LoraConfig(r=4, lora_alpha=10, target_modules=["to_q", "to_out.0"], init_lora_weights=False)
    reference.add_adapter(config)
    reference.save_lora_adapter(str(tmp_path / "bare"))
    layers = peft.get_peft_model_state_dict(reference)
    diffusers.CogView4Pipeline.save_lora_weights(
        str(tmp_path / "prefixed"),
        transformer_lora_layers=layers,
        transformer_lora_adapter_metadata=reference.peft_config["default"].to_dict(),
    )
    for kind in ("bare", "prefixed"):
        parts = load_pipeline_parts(tiny_folder)
        Adapters(parts).load(tmp_path / kind)
        for name, module in reference.named_modules():
            if hasattr(module, "lora_A"):
                theirs = module.base_layer.weight + module.get_delta_weight("default")
                ours = parts.decoder.get_submodule(name).get_parameter("weight")
                torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
