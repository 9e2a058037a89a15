"""LoRA merged into weights: exact sums, several at once, exact removal, and one sentence for everything wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from inkwash.core.errors import InkwashError
from inkwash.engine.adapters import Adapters
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.models.glm_image.weights import GlmImageParts, load_pipeline_parts
from inkwash.models.lora import find_adapters, parse_choice

HEAD, PROJ = "lm_head", "transformer_blocks.0.attn1.to_q"
EMBED = "model.language_model.embed_tokens"


@pytest.fixture
def parts(tiny_folder: Path) -> GlmImageParts:
    return load_pipeline_parts(tiny_folder, dtype=torch.float32)


def write(folder: Path, weights: dict[str, Tensor], **config: Any) -> Path:
    folder.mkdir(parents=True)
    settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 4.0, "bias": "none"} | config
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    save_file(weights, folder / "adapter_model.safetensors")
    return folder


def pair(module: str, weight: Tensor, seed: int, rank: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    out, inner = weight.shape
    return {
        f"base_model.model.{module}.lora_A.weight": torch.randn(rank, inner, generator=generator),
        f"base_model.model.{module}.lora_B.weight": torch.randn(out, rank, generator=generator),
    }


def product(tensors: dict[str, Tensor], module: str) -> Tensor:
    return tensors[f"base_model.model.{module}.lora_B.weight"] @ tensors[f"base_model.model.{module}.lora_A.weight"]


def weight_of(network: torch.nn.Module, module: str) -> Tensor:
    return network.get_submodule(module).get_parameter("weight")


def test_two_adapters_add_up_with_their_weights_and_leave_no_trace(parts: GlmImageParts, tmp_path: Path) -> None:
    head, proj = weight_of(parts.ar, HEAD), weight_of(parts.decoder, PROJ)
    old_head, old_proj = head.clone(), proj.clone()
    one = pair(HEAD, head, 1)
    two, three = pair(HEAD, head, 2), pair(PROJ, proj, 3)
    write(tmp_path / "one", one)
    write(tmp_path / "two" / "vision_language_encoder", two)
    write(tmp_path / "two" / "transformer", three, lora_alpha=2.0)
    adapters = Adapters(parts)
    assert [adapters.load(tmp_path / "one"), adapters.load(tmp_path / "two")] == ["one", "two"]
    assert adapters.active == {"one": 1.0, "two": 1.0}
    adapters.set({"one": 0.5, "two": -1.5})
    torch.testing.assert_close(head, old_head + 0.5 * 2 * product(one, HEAD) - 1.5 * 2 * product(two, HEAD))
    torch.testing.assert_close(proj, old_proj - 1.5 * product(three, PROJ))
    adapters.set({"one": 1.0})
    torch.testing.assert_close(head, old_head + 2 * product(one, HEAD))
    assert torch.equal(proj, old_proj)
    adapters.unload(["one"])
    assert torch.equal(head, old_head) and adapters.names == ["two"]
    adapters.unload()
    assert adapters.names == [] and not adapters._originals, "nothing is kept for adapters that are gone"


def test_scales_follow_peft(parts: GlmImageParts, tmp_path: Path) -> None:
    head, old = weight_of(parts.ar, HEAD), weight_of(parts.ar, HEAD).clone()
    tensors = pair(HEAD, head, 1, rank=4)
    for name, config, scale in (
        ("rslora", {"r": 4, "use_rslora": True}, 4.0 / 2),
        ("pattern", {"rank_pattern": {"lm_head": 4}, "alpha_pattern": {"lm_head": 6.0}}, 6.0 / 4),
    ):
        adapters = Adapters(parts)
        adapters.load(write(tmp_path / name, tensors, **config))
        torch.testing.assert_close(head, old + scale * product(tensors, HEAD))
        adapters.unload()


def test_an_embedding_is_merged_too(parts: GlmImageParts, tmp_path: Path) -> None:
    table = weight_of(parts.ar, EMBED)
    old, (rows, width) = table.clone(), table.shape
    a, b = torch.randn(2, rows), torch.randn(width, 2)
    tensors = {f"base_model.model.{EMBED}.lora_embedding_A": a, f"base_model.model.{EMBED}.lora_embedding_B": b}
    Adapters(parts).load(write(tmp_path / "embedding", tensors))
    torch.testing.assert_close(table, old + 2 * (b @ a).T)


def test_fused_projections_follow(parts: GlmImageParts, tmp_path: Path) -> None:
    """The decoder may hold q, k and v as one matrix; an adapter reaches it."""
    attention = parts.decoder.blocks[0].attn1
    tensors = pair(PROJ, weight_of(parts.decoder, PROJ), 1)
    Adapters(parts).load(write(tmp_path / "one", tensors))
    if attention.fused is not None:
        assert torch.equal(attention.fused[0][: attention.to_q.weight.shape[0]], attention.to_q.weight)


def test_bf16_weights_go_back_to_the_same_bits(parts: GlmImageParts, tmp_path: Path) -> None:
    parts.ar.to(torch.bfloat16)
    old = weight_of(parts.ar, HEAD).clone()
    adapters = Adapters(parts)
    adapters.load(write(tmp_path / "one", pair(HEAD, old.float(), 1)))
    for weight in (0.3, -0.7, 1.0):
        adapters.set({"one": weight})
    adapters.set({})
    assert torch.equal(weight_of(parts.ar, HEAD), old)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "IA3"}, "of kind 'IA3': only LORA"),
        ({"use_dora": True}, "sets use_dora"),
        ({"bias": "all"}, "sets bias"),
        ({"modules_to_save": ["lm_head"]}, "sets modules_to_save"),
        ({"r": 0}, "r 0"),
    ],
)
def test_adapters_that_cannot_be_merged_are_refused(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    with pytest.raises(InkwashError, match=said):
        find_adapters(write(tmp_path / "one", {}, **config))


def test_files_that_do_not_fit_are_named(parts: GlmImageParts, tmp_path: Path) -> None:
    adapters, head = Adapters(parts), weight_of(parts.ar, HEAD)
    wrong = {
        "no network of this checkpoint has model.layers.9.q": pair("model.layers.9.q", head, 1),
        r"lm_head is \(.*\), the adapter's is \(3, 3\)": pair(HEAD, torch.zeros(3, 3), 1),
        "only one of the two matrices": dict(list(pair(HEAD, head, 1).items())[:1]),
        "which is no LoRA matrix": {"base_model.model.lm_head.lora_magnitude_vector": torch.zeros(3)},
        "holds no LoRA matrices": {},
    }
    for number, (said, tensors) in enumerate(wrong.items()):
        with pytest.raises(InkwashError, match=said):
            adapters.load(write(tmp_path / str(number), tensors))
    write(tmp_path / "cut", pair(HEAD, head, 1))
    file = tmp_path / "cut" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InkwashError, match="damaged or cut short"):
        adapters.load(tmp_path / "cut")
    with pytest.raises(InkwashError, match="does not exist"):
        adapters.load(tmp_path / "nowhere")
    with pytest.raises(InkwashError, match="holds no adapter"):
        adapters.load(tmp_path)
    assert adapters.names == [] and adapters.active == {}


def test_names_and_weights_are_checked(pipe: GlmImagePipeline, tmp_path: Path) -> None:
    head = weight_of(pipe.parts.ar, HEAD)
    folder = write(tmp_path / "one", pair(HEAD, head, 1))
    assert [pipe.load_lora_weights(folder), pipe.load_lora_weights(folder)] == ["one", "one_2"]
    with pytest.raises(InkwashError, match="already"):
        pipe.load_lora_weights(folder, "one")
    with pytest.raises(InkwashError, match=r"no adapter 'three': loaded are one, one_2"):
        pipe.set_adapters(["one", "three"])
    with pytest.raises(InkwashError, match="2 adapters got 1 weights"):
        pipe.set_adapters(["one", "one_2"], [1.0])
    with pytest.raises(InkwashError, match="from -10 to 10"):
        pipe.set_adapters("one", float("nan"))
    assert pipe.get_active_adapters() == ["one", "one_2"], "a refused call changes nothing"
    pipe.unload_lora_weights()


def test_choices_of_the_command_line() -> None:
    assert parse_choice("a/b") == (Path("a/b"), 1.0)
    assert parse_choice("a/b:0.7") == (Path("a/b"), 0.7)
    assert parse_choice("C:folder") == (Path("C:folder"), 1.0)
    for text in ("a:11", "a:nan", "a:inf"):
        with pytest.raises(InkwashError, match="LoRA weight"):
            parse_choice(text)
