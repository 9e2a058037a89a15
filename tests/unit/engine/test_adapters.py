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
from tests.unit.models.fake_hub import FakeHub, serve

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"init_lora_weights": "pissa"}, "sets init_lora_weights to 'pissa', which changed the weights"),
        ({"init_lora_weights": "pissa_niter_16"}, "sets init_lora_weights"),
        ({"init_lora_weights": "olora"}, "sets init_lora_weights"),
        ({"init_lora_weights": "loftq"}, "sets init_lora_weights"),
        ({"alora_invocation_tokens": [1, 2]}, "sets alora_invocation_tokens"),
        ({"layer_replication": [[0, 4], [2, 5]]}, "sets layer_replication"),
        ({"target_parameters": ["experts.gate_up"]}, "sets target_parameters"),
        ({"trainable_token_indices": [3]}, "sets trainable_token_indices"),
        ({"megatron_config": {"a": 1}}, "sets megatron_config"),
        ({"use_bdlora": {"target_modules_bd_a": []}}, "sets use_bdlora"),
        ({"a_setting_of_tomorrow": 1}, "sets a_setting_of_tomorrow"),
        ({"lora_alpha": float("nan")}, "both must be numbers"),
        ({"rank_pattern": {"lm_head": 0}}, "must map names of matrices to numbers"),
        ({"alpha_pattern": {"(a+)+b": 1.0}}, "name the matrices plainly"),
        ({"alpha_pattern": {".*a.*b.*c": 1.0}}, "name the matrices plainly"),
        ({"rank_pattern": {"(a": 1}}, "is no pattern"),
    ],
)
def test_settings_that_are_not_read_are_refused_by_name(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    with pytest.raises(InkwashError, match=said):
        find_adapters(write(tmp_path / "one", {}, **config))


def test_every_default_of_peft_is_taken(parts: GlmImageParts, tmp_path: Path) -> None:
    import peft

    defaults = json.loads(
        json.dumps(peft.LoraConfig(r=2, lora_alpha=4, target_modules=["lm_head"]).to_dict(), default=str)
    )
    for start in (True, False, "gaussian", "eva", "orthogonal"):
        defaults["init_lora_weights"] = start
        folder = write(tmp_path / str(start), pair(HEAD, weight_of(parts.ar, HEAD), 1), **defaults)
        assert find_adapters(folder)[0].settings[None].alpha == 4.0


def test_a_rank_that_is_not_the_settings_is_refused(parts: GlmImageParts, tmp_path: Path) -> None:
    head = weight_of(parts.ar, HEAD)
    old = head.clone()
    for number, config in enumerate(({"r": 4}, {"r": 3, "rank_pattern": {"lm_head": 1}})):
        folder = write(tmp_path / str(number), pair(HEAD, head, 1, rank=3), **config)
        with pytest.raises(InkwashError, match=r"matrices of rank 3 for lm_head, but its settings say \d"):
            Adapters(parts).load(folder)
    assert torch.equal(head, old)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_matrices_that_are_no_numbers_are_refused(parts: GlmImageParts, tmp_path: Path, value: float) -> None:
    tensors = pair(HEAD, weight_of(parts.ar, HEAD), 1)
    next(iter(tensors.values()))[0, 0] = value
    with pytest.raises(InkwashError, match="holds NaN or infinity in lm_head"):
        Adapters(parts).load(write(tmp_path / "one", tensors))


KINDS: dict[str, tuple[str, str, str | None, float]] = {  # names of the two halves, of alpha, and what alpha 6 makes
    "diffusers": ("transformer.{0}.lora_A.weight", "transformer.{0}.lora_B.weight", None, 1.0),
    "bare": ("{0}.lora_A.weight", "{0}.lora_B.weight", None, 1.0),
    "old diffusers": ("transformer.{0}.lora.down.weight", "transformer.{0}.lora.up.weight", None, 1.0),
    "default": ("base_model.model.{0}.lora_A.default.weight", "base_model.model.{0}.lora_B.default.weight", None, 1.0),
    "comfy": (
        "diffusion_model.{0}.lora_A.weight",
        "diffusion_model.{0}.lora_B.weight",
        "diffusion_model.{0}.alpha",
        3.0,
    ),
    "kohya": ("lora_unet_{1}.lora_down.weight", "lora_unet_{1}.lora_up.weight", "lora_unet_{1}.alpha", 3.0),
    "kohya without alpha": ("lora_unet_{1}.lora_down.weight", "lora_unet_{1}.lora_up.weight", None, 1.0),
}


def written_as(kind: str, file: Path, a: Tensor, b: Tensor, metadata: dict[str, str] | None = None) -> Path:
    down, up, alpha, _ = KINDS[kind]
    names = PROJ, PROJ.replace(".", "_")
    tensors = {down.format(*names): a, up.format(*names): b}
    if alpha is not None:
        tensors[alpha.format(*names)] = torch.tensor(6.0)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file, metadata=metadata)
    return file


@pytest.mark.parametrize("kind", KINDS)
def test_each_librarys_names_are_read(parts: GlmImageParts, tmp_path: Path, kind: str) -> None:
    proj = weight_of(parts.decoder, PROJ)
    old, (out, inner) = proj.clone(), proj.shape
    a, b = torch.randn(2, inner), torch.randn(out, 2)
    file = written_as(kind, tmp_path / "lora" / "some_name.safetensors", a, b)
    for place, more in ((file, {}), (file.parent, {}), (file.parent, {"weight_name": file.name})):
        adapters = Adapters(parts)
        assert adapters.load(place, **more) == ("some_name" if place == file else "lora")
        torch.testing.assert_close(proj, old + KINDS[kind][3] * b @ a)
        adapters.unload()
    written_as(kind, tmp_path / "lora" / "second.safetensors", a, b)
    with pytest.raises(InkwashError, match=r"holds 2 files \(second.safetensors, some_name.safetensors\): name one"):
        Adapters(parts).load(tmp_path / "lora")
    with pytest.raises(InkwashError, match=r"holds no file x.safetensors: it has second"):
        Adapters(parts).load(tmp_path / "lora", weight_name="x.safetensors")


def test_settings_in_the_head_of_a_diffusers_file_count(parts: GlmImageParts, tmp_path: Path) -> None:
    proj = weight_of(parts.decoder, PROJ)
    old, (out, inner) = proj.clone(), proj.shape
    a, b = torch.randn(4, inner), torch.randn(out, 4)
    for number, (told, scale) in enumerate(
        (
            ({"transformer.r": 4, "transformer.lora_alpha": 8}, 2.0),
            ({"r": 4, "lora_alpha": 2}, 0.5),
            ({"transformer.r": 4, "transformer.lora_alpha": 8, "transformer.use_rslora": True}, 4.0),
        )
    ):
        head = {"lora_adapter_metadata": json.dumps(told)}
        file = written_as("diffusers", tmp_path / str(number) / "pytorch_lora_weights.safetensors", a, b, head)
        adapters = Adapters(parts)
        adapters.load(file.parent)
        torch.testing.assert_close(proj, old + scale * b @ a)
        adapters.unload()
    for told, said in (
        ({"transformer.r": 3, "transformer.lora_alpha": 1}, "rank 4"),
        ({"transformer.use_dora": True}, "use_dora"),
    ):
        head = {"lora_adapter_metadata": json.dumps(told)}
        with pytest.raises(InkwashError, match=said):
            Adapters(parts).load(written_as("diffusers", tmp_path / "bad.safetensors", a, b, head))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lora_unet_transformer_blocks_0_attn1_to_q.hada_w1_a", "which is no LoRA matrix"),
        ("transformer.transformer_blocks.0.attn1.to_q.lokr_w1", "which is no LoRA matrix"),
        ("transformer.transformer_blocks.0.attn1.to_q.dora_scale", "which is no LoRA matrix"),
        ("transformer.transformer_blocks.0.attn1.to_q.lora_B.bias", "which is no LoRA matrix"),
        ("lora_unet_down_blocks_0.lora_down.weight", "no matrix of transformer is called down_blocks_0"),
        ("transformer.x_embedder.lora_A.weight", "only one of the two"),
    ],
)
def test_other_kinds_in_a_file_are_named(parts: GlmImageParts, tmp_path: Path, name: str, said: str) -> None:
    save_file({name: torch.zeros(2, 2)}, tmp_path / "one.safetensors")
    with pytest.raises(InkwashError, match=said):
        Adapters(parts).load(tmp_path / "one.safetensors")


def test_two_adapters_in_one_file_and_pickles_are_refused(parts: GlmImageParts, tmp_path: Path) -> None:
    a, b = torch.zeros(2, 2), torch.zeros(2, 2)
    save_file({f"{PROJ}.lora_A.one.weight": a, f"{PROJ}.lora_B.two.weight": b}, tmp_path / "two.safetensors")
    with pytest.raises(InkwashError, match=r"holds 2 adapters \(one, two\)"):
        Adapters(parts).load(tmp_path / "two.safetensors")
    (tmp_path / "one.bin").write_bytes(b"\x80")
    with pytest.raises(InkwashError, match="can run code when opened"):
        Adapters(parts).load(tmp_path / "one.bin")


def test_an_adapter_comes_from_a_hub_through_its_cache(
    parts: GlmImageParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proj = weight_of(parts.decoder, PROJ)
    old, (out, inner) = proj.clone(), proj.shape
    a, b = torch.randn(2, inner), torch.randn(out, 2)
    repositories = {name: tmp_path / "hub" / name.replace("/", "--") for name in ("me/diffusers", "me/odd", "me/peft")}
    written_as("diffusers", repositories["me/diffusers"] / "pytorch_lora_weights.safetensors", a, b)
    written_as("kohya", repositories["me/odd"] / "v1.safetensors", a, b)
    write(
        repositories["me/peft"] / "transformer",
        {f"base_model.model.{k}": v for k, v in {f"{PROJ}.lora_A.weight": a, f"{PROJ}.lora_B.weight": b}.items()},
    )
    (repositories["me/peft"] / "base.safetensors").write_bytes(b"\0" * 100)  # is not fetched
    monkeypatch.setenv("INKWASH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    with serve(FakeHub(repositories)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        for choice, scale in (("me/diffusers", 1.0), ("me/odd:0.5", 1.5), ("me/peft", 2.0)):
            adapters = Adapters(parts)
            path, weight = parse_choice(choice)
            adapters.set({adapters.load(path): weight})
            torch.testing.assert_close(proj, old + scale * b @ a)
            adapters.unload()
        assert not any(name.endswith("base.safetensors") for name in hub.served)
        with pytest.raises(
            InkwashError, match=r"There is no LoRA me/nothing in this folder. Hugging Face has no model"
        ):
            Adapters(parts).load("me/nothing")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    Adapters(parts).load("me/diffusers")
