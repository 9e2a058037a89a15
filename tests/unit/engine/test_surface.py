"""What scripts for the reference call: interrupts, guidance from callbacks, parts, offload, adapters, saving."""

from __future__ import annotations

import copy
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.core.errors import ConfigError, InkwashError, RequestError, WeightsError
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.surface import NO_MEANING, shard_bytes
from inkwash.models.weights import NO_MEANING as NO_MEANING_OF_PARTS
from tests.unit.engine.test_adapters import HEAD, pair, weight_of, write

PICTURE = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
SMALL: dict[str, Any] = {"height": 64, "width": 64, "num_inference_steps": 4, "image": [PICTURE]}


def draw(pipe: GlmImagePipeline, **more: Any) -> Any:
    given = {"prompt": '"A"', "generator": torch.Generator().manual_seed(1), "output_type": "pt", **SMALL, **more}
    return pipe(**given).images


@pytest.fixture
def own(tiny_folder: Path) -> GlmImagePipeline:
    return GlmImagePipeline.from_pretrained(tiny_folder, device_map="cpu")


def test_an_interrupt_in_a_callback_ends_after_that_step(own: GlmImagePipeline) -> None:
    steps: list[int] = []
    seen: dict[int, torch.Tensor] = {}

    def watch(pipe: Any, step: int, sigma: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        steps.append(step)
        seen[step] = tensors["latents"].clone()
        return {}

    def stop(pipe: Any, step: int, sigma: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 1:
            pipe._interrupt = True
        return watch(pipe, step, sigma, tensors)

    draw(own, callback_on_step_end=watch)
    whole, after_two = list(steps), seen[1]
    steps.clear()
    latents = draw(own, callback_on_step_end=stop, output_type="latent")
    assert (whole, steps) == ([0, 1, 2, 3], [0, 1])
    assert torch.equal(latents, after_two) and own.interrupt
    steps.clear()
    draw(own, callback_on_step_end=watch)
    assert steps == whole and not own.interrupt, "the next call begins anew"


def test_an_interrupt_from_another_thread_stops_that_pipelines_calls_only(own: GlmImagePipeline) -> None:
    other, steps = GlmImagePipeline(own.parts), {"own": 0, "other": 0}

    def count(name: str, step: int) -> dict[str, Any]:
        steps[name] += 1
        if name == "own" and step == 0:
            thread = threading.Thread(target=setattr, args=(own, "_interrupt", True))
            thread.start()
            thread.join()
        return {}

    draw(own, callback_on_step_end=lambda pipe, step, *_: count("own", step))
    draw(other, callback_on_step_end=lambda pipe, step, *_: count("other", step))
    assert steps == {"own": 1, "other": 4}


def test_the_librarys_callback_ends_guidance(own: GlmImagePipeline) -> None:
    """Its steps before are those with guidance, those after it those without, and the next call has guidance again."""
    from diffusers.callbacks import SDCFGCutoffCallback

    def kept(into: dict[int, torch.Tensor]) -> Any:
        def keep(pipe: Any, step: int, sigma: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            into[step] = tensors["latents"].clone()
            return {}

        return keep

    guided: dict[int, torch.Tensor] = {}
    draw(own, guidance_scale=3.0, callback_on_step_end=kept(guided))
    cut = draw(own, guidance_scale=3.0, callback_on_step_end=SDCFGCutoffCallback(None, 1), output_type="latent")
    rest: dict[int, torch.Tensor] = {}

    def resume(pipe: Any, step: int, sigma: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"latents": guided[1]} if step == 1 else {}

    plain = draw(own, guidance_scale=1.0, callback_on_step_end=resume, output_type="latent")
    torch.testing.assert_close(cut, plain, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(cut, guided[3], atol=1e-3) and not rest
    assert own.num_timesteps == 4 and own.guidance_scale == 1.0
    with pytest.raises(RequestError, match="guidance was raised above 1"):
        draw(own, guidance_scale=1.0, callback_on_step_end=lambda pipe, *_: setattr(pipe, "_guidance_scale", 2.0) or {})


def test_parts_have_the_references_names(own: GlmImagePipeline) -> None:
    assert own.transformer is own.parts.decoder and own.vision_language_encoder is own.parts.ar
    assert set(own.components) == {
        "tokenizer", "processor", "text_encoder", "vision_language_encoder", "vae", "transformer", "scheduler"
    }  # fmt: skip
    for other in (GlmImagePipeline(**own.components), GlmImagePipeline.from_pipe(own), copy.deepcopy(own)):
        assert torch.equal(draw(own), draw(other))
    assert GlmImagePipeline.from_pipe(own).vae is own.vae and copy.deepcopy(own).vae is not own.vae
    embeds, none = own.encode_prompt(['"AB"', "x"], num_images_per_prompt=2)
    assert embeds.shape[0] == none.shape[0] == 4 and torch.equal(embeds[0], embeds[1])
    assert torch.equal(embeds[0], own.stages.glyphs('"AB"'))
    with pytest.raises(ConfigError, match="A pipeline needs text_encoder as well"):
        GlmImagePipeline(**{**own.components, "text_encoder": None})
    with pytest.raises(ConfigError, match="There is no part 'unet'"):
        GlmImagePipeline(unet=None or object())


def test_options_of_loading(tiny_folder: Path, own: GlmImagePipeline) -> None:
    load = GlmImagePipeline.from_pretrained
    pipe = load(
        str(tiny_folder), dtype=torch.bfloat16, device_map="cpu", use_safetensors=True, low_cpu_mem_usage=True,
        token="x", cache_dir="y", local_files_only=True, revision=None, vae=own.vae,
    )  # fmt: skip
    assert pipe.dtype == torch.bfloat16 and pipe.vae is own.vae
    for options, said in (
        ({"quantization_config": object()}, "pass quantize="),
        ({"use_safetensors": False}, "only safetensors"),
        ({"trust_remote_code": True}, "no code of a checkpoint is run"),
        ({"unet": object()}, "There is no part 'unet'"),
        ({"vae": torch.nn.Linear(1, 1)}, "vae is a torch.nn.modules.linear.Linear, but must be a AutoencoderKL"),
    ):
        with pytest.raises(ConfigError, match=said):
            load(tiny_folder, **options)


@pytest.mark.parametrize("call", ["enable_model_cpu_offload", "enable_sequential_cpu_offload"])
def test_offload_after_loading_draws_the_same(tiny_folder: Path, own: GlmImagePipeline, call: str) -> None:
    before = draw(own)
    getattr(own, call)(device="cpu")
    assert torch.equal(draw(own), before)
    assert own.to("cpu") is own, "where it is already"
    with pytest.raises(ConfigError, match="Moving changes all weights"):
        own.to(torch.bfloat16)
    parts = own.parts
    getattr(own, call)(device="cpu")
    assert own.parts is parts, "as it is already"
    own.enable_model_cpu_offload(device="cpu")
    own.enable_sequential_cpu_offload(device="cpu")
    assert torch.equal(draw(own), before)


def test_offload_keeps_the_number_type_and_the_rounding(tiny_folder: Path, own: GlmImagePipeline) -> None:
    own.to(torch.bfloat16).enable_model_cpu_offload(device="cpu")
    assert own.dtype == torch.bfloat16
    rounded = GlmImagePipeline.from_pretrained(tiny_folder, quantize="decoder=int8", device_map="cpu")
    before = draw(rounded)
    rounded.enable_model_cpu_offload(device="cpu")
    assert torch.equal(draw(rounded), before)
    with pytest.raises(ConfigError, match="right after from_pretrained"):
        GlmImagePipeline(**GlmImagePipeline.from_pretrained(tiny_folder).components).enable_model_cpu_offload()


def test_parts_may_be_replaced(own: GlmImagePipeline) -> None:
    before, other = draw(own), copy.deepcopy(own)
    with torch.no_grad():
        other.vae.decoder.conv_out.bias.add_(0.5)
    own.vae = other.vae
    assert torch.equal(draw(own), draw(other)) and not torch.equal(draw(own), before)
    for part, said in (
        (None, "vae cannot be taken out"),
        (own.transformer, "vae is a inkwash.models.glm_image.decoder.Decoder, but must be a AutoencoderKL"),
        (SimpleNamespace(_orig_mod=own.vae), "call pipe.compile"),  # as torch.compile returns one
    ):
        with pytest.raises(ConfigError, match=said):
            own.vae = part
    assert own.vae is other.vae
    own.enable_vae_tiling()
    with pytest.raises(ConfigError, match="right after from_pretrained"):
        own.enable_model_cpu_offload(device="cpu")


def test_number_types_by_part(tiny_folder: Path) -> None:
    kinds = {"transformer": torch.bfloat16, "default": "float32"}
    pipe = GlmImagePipeline.from_pretrained(tiny_folder, dtype=kinds, device_map="cpu")
    assert pipe.transformer.dtype == torch.bfloat16 and pipe.vae.dtype == pipe.vision_language_encoder.dtype
    assert pipe.vae.dtype == torch.float32
    before = draw(pipe)
    pipe.enable_model_cpu_offload(device="cpu")
    assert torch.equal(draw(pipe), before)
    with pytest.raises(ConfigError, match="There is no part 'unet' to have a number type"):
        GlmImagePipeline.from_pretrained(tiny_folder, dtype={"unet": torch.float16})


def test_switches_of_the_parts(own: GlmImagePipeline) -> None:
    assert own.transformer.device.type == "cpu" and own.transformer.dtype == torch.float32
    own.vae.enable_tiling()
    own.vae.enable_slicing()
    for name, sentence in NO_MEANING_OF_PARTS.items():
        assert not hasattr(own.transformer, name)
        with pytest.raises(ConfigError) as found:
            getattr(own.transformer, name)
        assert found.value.message == f"{name} has no meaning here: {sentence}."
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = own.transformer.nonsense


def test_switches_that_change_nothing_and_those_that_say_so(own: GlmImagePipeline) -> None:
    before = draw(own)
    for name in ("enable_vae_tiling", "enable_vae_slicing", "enable_attention_slicing", "maybe_free_model_hooks"):
        getattr(own, name)()
    own.set_progress_bar_config(disable=True)
    for name in ("disable_vae_tiling", "disable_vae_slicing"):
        with pytest.warns(UserWarning, match="always decoded"):
            getattr(own, name)()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(draw(own), before)
    for name, sentence in NO_MEANING.items():
        assert not hasattr(own, name)
        with pytest.raises(ConfigError) as found:
            getattr(own, name)
        assert found.value.message == f"{name} has no meaning here: {sentence}."
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = own.nonsense


def test_adapters_act_pause_fuse_and_go(own: GlmImagePipeline, tmp_path: Path) -> None:
    head = weight_of(own.parts.ar, HEAD)
    old = head.clone()
    one = write(tmp_path / "one", pair(HEAD, head, 1))
    own.load_lora_weights(one)
    acting = head.clone()
    with pytest.raises(ConfigError, match=r"Adapters act on the weights that would be saved \(one\): call unload"):
        own.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    own.disable_lora()
    assert torch.equal(head, old) and own.get_active_adapters() == []
    own.enable_lora()
    assert torch.equal(head, acting) and own.get_list_adapters() == {"vision_language_encoder": ["one"]}
    own.fuse_lora(lora_scale=0.5)
    torch.testing.assert_close(head, (old + acting) / 2)
    own.save_pretrained(tmp_path / "saved")
    again = GlmImagePipeline.from_pretrained(tmp_path / "saved", device_map="cpu")
    assert torch.equal(weight_of(again.parts.ar, HEAD), head)
    with pytest.raises(RequestError, match="call unfuse_lora"):
        own.unload_lora_weights()
    own.unfuse_lora()
    own.delete_adapters("one")
    assert torch.equal(head, old) and own.get_list_adapters() == {}
    with pytest.raises(RequestError, match="no adapter 'one'"):
        own.delete_adapters(["one"])


@pytest.mark.parametrize("size", [None, "50KB"])
def test_variants_are_written_and_read(own: GlmImagePipeline, tmp_path: Path, size: str | None) -> None:
    own.save_pretrained(tmp_path / "m", variant="fp16", max_shard_size=size)
    names = {path.name for path in (tmp_path / "m" / "transformer").iterdir()}
    if size is None:
        assert "diffusion_pytorch_model.fp16.safetensors" in names
    else:
        assert "diffusion_pytorch_model.safetensors.index.fp16.json" in names
        assert any(name.startswith("diffusion_pytorch_model.fp16-00001-of-") for name in names)
    for variant in ("fp16", None):
        again = GlmImagePipeline.from_pretrained(tmp_path / "m", variant=variant, device_map="cpu")
        assert torch.equal(again.transformer.proj_out.weight, own.transformer.proj_out.weight)
    with pytest.raises(WeightsError, match=r"no weights of the variant 'bf16', only fp16: leave variant out"):
        GlmImagePipeline.from_pretrained(tmp_path / "m", variant="bf16", device_map="cpu")


def test_a_variant_is_chosen_beside_the_plain_files(own: GlmImagePipeline, tmp_path: Path) -> None:
    own.save_pretrained(tmp_path / "m")
    folder, other = tmp_path / "m" / "transformer", GlmImagePipeline.from_pipe(own)
    changed = copy.deepcopy(own)
    changed.transformer.proj_out.weight.data.add_(1.0)
    changed.save_pretrained(tmp_path / "n", variant="odd")
    file = tmp_path / "n" / "transformer" / "diffusion_pytorch_model.odd.safetensors"
    (folder / file.name).write_bytes(file.read_bytes())
    plain = GlmImagePipeline.from_pretrained(tmp_path / "m", device_map="cpu")
    odd = GlmImagePipeline.from_pretrained(tmp_path / "m", variant="odd", device_map="cpu")
    assert torch.equal(plain.transformer.proj_out.weight, other.transformer.proj_out.weight)
    assert torch.equal(odd.transformer.proj_out.weight, changed.transformer.proj_out.weight)


def test_sizes_of_files() -> None:
    assert [shard_bytes(size, 7) for size in (None, 5, "5GB", "1.5 MiB", "12")] == [7, 5, 5 * 10**9, 3 * 2**19, 12]
    for size in ("five", "-1GB", 0, "GB"):
        with pytest.raises(ConfigError, match="max_shard_size"):
            shard_bytes(size, 7)


def test_schedules_that_rise_or_are_given_twice_are_refused(own: GlmImagePipeline) -> None:
    for given, said in (
        ({"sigmas": [0.2, 0.5, 1.0]}, "must not rise"),
        ({"timesteps": [100, 500, 900]}, "must not rise"),
        ({"sigmas": [1.0, 0.5], "timesteps": [900, 400]}, "Both timesteps and sigmas"),
    ):
        with pytest.raises(InkwashError, match=said):
            draw(own, **given)
    assert draw(own, sigmas=[1.0, 0.5, 0.2]).shape == (1, 3, 64, 64)


def test_numbers_and_pictures_of_every_usual_kind(own: GlmImagePipeline) -> None:
    array = np.asarray(PICTURE)
    expected = draw(own)
    sizes = {"height": np.int64(64), "width": torch.tensor(64), "num_inference_steps": np.int32(4)}
    assert torch.equal(draw(own, **sizes, num_images_per_prompt=np.int8(1), guidance_scale=np.float32(1.5)), expected)
    tensor = torch.from_numpy(array.copy()).movedim(-1, 0)
    for image in (
        array, array[None], [array[None]], tensor, tensor[None], [tensor], tensor.float() / 255,
        np.dstack([array, np.full((64, 64), 255, np.uint8)]), array[..., :1], array[..., 0],
    ):  # fmt: skip
        assert torch.equal(draw(own, image=image), expected)
    with pytest.raises(RequestError, match=r"got shape \(64, 64, 2\)"):
        draw(own, image=array[..., :2])


def test_saved_index_is_the_references(own: GlmImagePipeline, tmp_path: Path) -> None:
    own.save_pretrained(tmp_path / "m")
    assert json.loads((tmp_path / "m" / "model_index.json").read_text())["_class_name"] == "GlmImagePipeline"
    with pytest.warns(UserWarning, match="safe_serialization=False is left out"):
        own.save_pretrained(tmp_path / "m", safe_serialization=False)


def test_the_smallest_picture_is_one_token(own: GlmImagePipeline) -> None:
    for height, width in ((32, 32), (32, 64)):
        assert draw(own, height=height, width=width).shape == (1, 3, height, width)
        assert draw(own, height=height, width=width, image=None).shape == (1, 3, height, width)
