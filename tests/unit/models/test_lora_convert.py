"""Adapters in three formats: what they add stays the same, for our engine and for peft; the rest is refused."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from inkwash.cli.app import run
from inkwash.core.errors import ConfigError, WeightsError
from inkwash.engine.adapters import Adapters
from inkwash.models.lora import CONFIG_FILE, DIFFUSERS_FILE, WEIGHTS_FILE
from inkwash.models.lora_convert import FORMATS, convert_adapter, read_adapter

# More layers than the shipped model has; names with underscores of their own.
NAMES = {
    "transformer": {
        "transformer_blocks.0.attn1.to_q": (8, 6),
        "transformer_blocks.37.attn1.to_out.0": (6, 8),
        "transformer_blocks.37.ff.net.0.proj": (12, 6),
        "prior_projector.net.0.proj": (7, 5),
    },
    "text_encoder": {"encoder.block.5.layer.0.SelfAttention.q": (4, 4)},
    "vision_language_encoder": {"model.language_model.layers.12.mlp.gate_up_proj": (8, 4), "lm_head": (9, 4)},
}


def network(names: dict[str, tuple[int, int]]) -> nn.Module:
    """Linear layers under these names."""
    root = nn.Module()
    for name, (out, inner) in names.items():
        *path, last = name.split(".")
        place = root
        for piece in path:
            if not hasattr(place, piece):
                place.add_module(piece, nn.Module())
            place = getattr(place, piece)
        layer = nn.Linear(inner, out, bias=False)
        nn.init.zeros_(layer.weight)
        place.add_module(last, layer)
    return root


def added(path: Path, names: dict[str, dict[str, tuple[int, int]]] = NAMES) -> dict[str, torch.Tensor]:
    """What an adapter adds to every matrix of a checkpoint of zeros."""
    networks = {part: network(own) for part, own in names.items()}
    Adapters(networks).load(path)
    return {
        f"{part}.{name}": weight.detach() for part, one in networks.items() for name, weight in one.named_parameters()
    }


def peft_folder(folder: Path, part: str, seed: int = 0, **settings: Any) -> Path:
    """An adapter as peft writes it, of rank 2 but for one matrix of rank 3, with an alpha of its own."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for number, (name, (out, inner)) in enumerate(NAMES[part].items()):
        rank = 3 if number == 0 else 2
        tensors[f"base_model.model.{name}.lora_A.weight"] = torch.randn(rank, inner, generator=generator)
        tensors[f"base_model.model.{name}.lora_B.weight"] = torch.randn(out, rank, generator=generator)
    first = next(iter(NAMES[part]))
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 5, "target_modules": list(NAMES[part])}
    config |= {"rank_pattern": {first: 3}, "alpha_pattern": {first: 7.5}, **settings}
    (folder / part).mkdir(parents=True)
    save_file(tensors, folder / part / WEIGHTS_FILE)
    (folder / part / CONFIG_FILE).write_text(json.dumps(config))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Adapters of the two networks that every format knows."""
    peft_folder(tmp_path / "source", "transformer")
    return peft_folder(tmp_path / "source", "text_encoder", seed=1)


@pytest.mark.parametrize("way", list(itertools.permutations(FORMATS)), ids="-".join)
def test_round_trips_add_the_same_to_the_bit(way: tuple[Any, ...], source: Path, tmp_path: Path) -> None:
    expected, place = added(source), source
    assert all(bool(weight.any()) for name, weight in expected.items() if not name.startswith("vision"))
    for number, to in enumerate([*way, way[0]]):
        target = tmp_path / f"{number}-{to}"
        convert_adapter(place, target, to=to)
        place = target
        found = added(place)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected), to


def test_each_format_has_the_names_of_its_library(source: Path, tmp_path: Path) -> None:
    [file] = convert_adapter(source, tmp_path / "style.safetensors", to="kohya")
    assert file == tmp_path / "style.safetensors"
    names = set(load_file(file))
    assert "lora_unet_transformer_blocks_37_attn1_to_out_0.lora_down.weight" in names
    assert "lora_te_encoder_block_5_layer_0_SelfAttention_q.alpha" in names
    assert float(load_file(file)["lora_unet_transformer_blocks_0_attn1_to_q.alpha"]) == 7.5
    [file] = convert_adapter(source, tmp_path / "diffusers", to="diffusers")
    assert file.name == DIFFUSERS_FILE
    assert "transformer.transformer_blocks.37.ff.net.0.proj.lora_A.weight" in load_file(file)
    with safe_open(file, framework="np") as opened:
        settings = json.loads(opened.metadata()["lora_adapter_metadata"])
    assert settings["transformer.lora_alpha"] == 5 and settings["transformer.r"] == 2
    assert settings["transformer.alpha_pattern"] == {"transformer_blocks.0.attn1.to_q": 7.5}
    files = convert_adapter(tmp_path / "style.safetensors", tmp_path / "peft", to="peft")
    assert {path.parent.name for path in files} == {"transformer", "text_encoder"}


@pytest.mark.slow
def test_peft_itself_reads_what_was_converted(source: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    convert_adapter(source, tmp_path / "style.safetensors", to="kohya")
    convert_adapter(tmp_path / "style.safetensors", tmp_path / "back", to="peft")
    base = network(NAMES["transformer"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.PeftModel.from_pretrained(base, str(tmp_path / "back" / "transformer"))
    expected, seen = added(source), 0
    for name, module in wrapped.base_model.model.named_modules():
        if hasattr(module, "lora_A"):
            torch.testing.assert_close(module.get_delta_weight("default"), expected[f"transformer.{name}.weight"])
            seen += 1
    assert seen == len(NAMES["transformer"])


def test_the_generators_adapter_has_no_kohya_names_but_the_others(tmp_path: Path) -> None:
    source = peft_folder(tmp_path / "source", "vision_language_encoder")
    with pytest.raises(ConfigError, match=r"matrices of vision_language_encoder: .* or the transformer alone"):
        convert_adapter(source, tmp_path / "a.safetensors", to="kohya")
    convert_adapter(source, tmp_path / "a.safetensors", to="diffusers")
    expected, found = added(source), added(tmp_path / "a.safetensors")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not list(tmp_path.glob(".*"))


def folder_of_one(folder: Path, **settings: Any) -> tuple[Tensor, Tensor]:
    """An adapter of one square matrix of the transformer; its two halves."""
    generator = torch.Generator().manual_seed(2)
    (folder / "transformer").mkdir(parents=True)
    halves = torch.randn(2, 5, generator=generator), torch.randn(5, 2, generator=generator)
    prefix = "base_model.model.prior_projector.net.0.proj.lora_"
    tensors = {f"{prefix}{half}.weight": one for half, one in zip("AB", halves, strict=True)}
    save_file(tensors, folder / "transformer" / WEIGHTS_FILE)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, **settings}
    (folder / "transformer" / CONFIG_FILE).write_text(json.dumps(config))
    return halves


SQUARE = {"transformer": {"prior_projector.net.0.proj": (5, 5)}}


def test_the_rank_stabilised_scale_becomes_an_alpha(tmp_path: Path) -> None:
    folder_of_one(tmp_path / "source", use_rslora=True)
    expected = added(tmp_path / "source", SQUARE)
    for to in FORMATS:
        target = tmp_path / to
        convert_adapter(tmp_path / "source", target, to=to)
        torch.testing.assert_close(added(target, SQUARE), expected, rtol=1e-6, atol=1e-7)


def test_fan_in_fan_out_turns_no_matrix_of_a_linear_layer(tmp_path: Path) -> None:
    """PEFT takes it as false there, with a warning, so a square matrix must not be turned without a word."""
    peft = pytest.importorskip("peft")
    a, b = folder_of_one(tmp_path / "source", fan_in_fan_out=True, target_modules=["proj"])

    class Base(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.prior_projector = torch.nn.ModuleDict(
                {"net": torch.nn.ModuleList([torch.nn.ModuleDict({"proj": torch.nn.Linear(5, 5, bias=False)})])}
            )

    base = Base()
    with pytest.warns(UserWarning, match="fan_in_fan_out is set to True"):
        theirs = peft.PeftModel.from_pretrained(base, tmp_path / "source" / "transformer")
    (layer,) = [module for module in theirs.modules() if hasattr(module, "lora_A")]
    delta = layer.get_delta_weight("default")
    torch.testing.assert_close(delta, 1.5 * b @ a)
    (ours,) = added(tmp_path / "source", SQUARE).values()
    torch.testing.assert_close(ours, delta)


A, B = torch.randn(2, 5, generator=torch.Generator().manual_seed(3)), torch.ones(5, 2)
ODD_HALVES: dict[str, tuple[dict[str, Tensor], str]] = {
    "alpha of two": ({"lora_A.weight": A, "lora_B.weight": B, "alpha": torch.ones(2)}, "2 numbers as the alpha"),
    "alpha of NaN": ({"lora_A.weight": A, "lora_B.weight": B, "alpha": torch.tensor(float("nan"))}, "NaN or infinity"),
    "3x3 kernel": ({"lora_down.weight": torch.ones(2, 5, 3, 3), "lora_up.weight": B}, r"a tensor \(2, 5, 3, 3\)"),
    "one dimension": ({"lora_A.weight": A[0], "lora_B.weight": B}, r"a tensor \(5,\)"),
    "two ranks": ({"lora_A.weight": A, "lora_B.weight": torch.ones(5, 3)}, "of rank 2 and 3"),
    "no rank": ({"lora_A.weight": A[:0], "lora_B.weight": B[:, :0]}, "of rank 0 and 0"),
    "whole numbers": ({"lora_A.weight": A.int(), "lora_B.weight": B}, "holds int32 numbers"),
    "two spellings": ({"lora_A.weight": A, "lora_B.weight": B, "lora_down.weight": A}, "twice"),
}


@pytest.mark.parametrize("name", ODD_HALVES)
def test_the_halves_are_refused_alike_wherever_they_are_read(name: str, tmp_path: Path) -> None:
    tensors, said = ODD_HALVES[name]
    file = tmp_path / "odd.safetensors"
    prefix = "transformer.prior_projector.net.0.proj."
    save_file({f"{prefix}{part}": one.clone().contiguous() for part, one in tensors.items()}, file)
    with pytest.raises(WeightsError, match=said):
        added(file, SQUARE)
    with pytest.raises(WeightsError, match=said):
        convert_adapter(file, tmp_path / "out", to="peft")
    assert not (tmp_path / "out").exists()


def test_a_matrix_under_two_names_is_refused_and_one_of_eight_bits_is_widened(tmp_path: Path) -> None:
    name, file = "prior_projector.net.0.proj.lora_", tmp_path / "a.safetensors"
    halves = {f"{name}A.weight": A.to(torch.float8_e4m3fn), f"{name}B.weight": B.to(torch.float8_e4m3fn)}
    save_file(halves, file)
    (found,) = added(file, SQUARE).values()
    assert torch.equal(found, B @ A.to(torch.float8_e4m3fn).float())
    save_file(halves | {f"transformer.{key}": one.clone() for key, one in halves.items()}, file)
    for read in (lambda: added(file, SQUARE), lambda: convert_adapter(file, tmp_path / "out", to="peft")):
        with pytest.raises(WeightsError, match="of transformer twice"):
            read()


def test_a_file_whose_names_say_no_network_finds_its_own(tmp_path: Path) -> None:
    name = "transformer_blocks.3.attn1.to_k"
    halves = {f"{name}.lora_A.weight": torch.ones(1, 4), f"{name}.lora_B.weight": torch.ones(4, 1)}
    save_file(halves, tmp_path / "bare.safetensors")
    assert list(read_adapter(tmp_path / "bare.safetensors")) == ["transformer"]
    save_file({name.replace("to_k", "to_x"): one for name, one in halves.items()}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"no network of this family has transformer_blocks\.3\.attn1\.to_x"):
        read_adapter(tmp_path / "other.safetensors")
    flat = {f"lora_unet_single_blocks_0_linear1.lora_{half}.weight": torch.ones(2, 2) for half in ("down", "up")}
    save_file(flat, tmp_path / "flux.safetensors")
    with pytest.raises(WeightsError, match="no matrix of transformer is called single_blocks_0_linear1"):
        read_adapter(tmp_path / "flux.safetensors")


def test_embeddings_stay_with_peft(tmp_path: Path) -> None:
    name = "base_model.model.model.language_model.embed_tokens.lora_embedding_"
    folder = tmp_path / "source" / "vision_language_encoder"
    folder.mkdir(parents=True)
    save_file({f"{name}A": torch.ones(2, 9), f"{name}B": torch.ones(4, 2)}, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 2}))
    with pytest.raises(ConfigError, match="has no embeddings"):
        convert_adapter(tmp_path / "source", tmp_path / "a.safetensors", to="diffusers")
    convert_adapter(tmp_path / "source", tmp_path / "again", to="peft")
    assert (
        load_file(tmp_path / "again" / "vision_language_encoder" / WEIGHTS_FILE).keys()
        == load_file(folder / WEIGHTS_FILE).keys()
    )


def test_the_command_converts_adapters_and_their_number_type(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out" / "style.safetensors"
    assert run(["convert", str(source), "-o", str(target), "--to", "kohya", "--dtype", "bfloat16"]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    kinds = {tensor.dtype for name, tensor in load_file(target).items() if not name.endswith("alpha")}
    assert kinds == {torch.bfloat16}
    assert run(["convert", str(source), "-o", str(target)]) == 2
    assert "give --to for a LoRA" in capsys.readouterr().err
    assert run(["convert", str(tmp_path / "none"), "-o", str(target), "--to", "peft"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_command_writes_a_checkpoint_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from inkwash.models.glm_v.folder import resolve_vision

    target = tmp_path / "nano-v"
    options = ["--dtype", "float32", "--shard-size", "6MB"]
    assert run(["convert", "nano-v", "-o", str(target), *options]) == 0
    shards = sorted(target.glob("*.safetensors"))
    assert len(shards) > 2 and max(path.stat().st_size for path in shards) < 7e6
    card = resolve_vision("nano-v") / "README.md"
    assert (target / "README.md").read_bytes() == card.read_bytes()
    stored = {name: one for path in shards for name, one in load_file(path).items()}
    original = load_file(resolve_vision("nano-v") / "model.safetensors")
    for name, one in stored.items():
        assert one.dtype == torch.float32 or not one.is_floating_point()
        assert torch.equal(one, original[name].to(one.dtype))
    assert run(["convert", str(target), "-o", str(target), "--dtype", "bfloat16"]) == 2
    assert "choose another folder" in capsys.readouterr().err
