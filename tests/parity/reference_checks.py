"""The checks that the reference library's own test classes make of a pipeline, by name, written anew for ours.

`CHECKS` is the table of `docs/reference-surface.md`: a check passes, or has no meaning here and gets the sentence that
stands in the table. `test_reference_checks.py` runs every one; write the table with
`python -m tests.parity.reference_checks`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inkwash.core.errors import InkwashError
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.surface import PARTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference-surface.md"
START, END = "<!-- checks: written by tests/parity/reference_checks.py -->", "<!-- end of checks -->"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """What a check starts from: a checkpoint that the reference wrote, and a folder to write to."""

    folder: Path
    out: Path

    def load(self, folder: Path | None = None, **options: Any) -> GlmImagePipeline:
        return GlmImagePipeline.from_pretrained(folder or self.folder, device_map="cpu", **options)

    def build(self) -> GlmImagePipeline:
        """From loose parts, as the reference's checks build theirs."""
        return GlmImagePipeline(**self.load().components)

    def saved(self, pipe: GlmImagePipeline, **options: Any) -> Path:
        """A folder written the way the checks write it; that pickles are not written is a warning."""
        with pytest.warns(UserWarning, match="always written as safetensors"):
            pipe.save_pretrained(self.out / "saved", safe_serialization=False, **options)
        return self.out / "saved"

    def inputs(self, seed: int = 0, **more: Any) -> dict[str, Any]:
        return {
            "prompt": 'A photo of a "cat"',
            "generator": torch.Generator().manual_seed(seed),
            "num_inference_steps": 2,
            "guidance_scale": 1.5,
            "height": 32,
            "width": 32,
            "max_sequence_length": 16,
            "output_type": "pt",
            **more,
        }

    def draw(self, pipe: GlmImagePipeline, seed: int = 0, **more: Any) -> Tensor:
        pictures = pipe(**self.inputs(seed, **more))[0]
        assert isinstance(pictures, Tensor)
        return pictures


Run = Callable[[Peer], None]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of the reference's test classes; `sentence` is what a check without meaning here must get."""

    name: str
    group: str
    run: Run = field(repr=False)
    sentence: str | None = None


CHECKS: dict[str, Check] = {}
PIPELINE, GLM = "every pipeline", "the GLM-Image pipeline"
SHARED, TOGGLES, ARRAYS = "pipelines that share parts", "toggles of Stable Diffusion", "latents and arrays"


def check(group: str = PIPELINE, *, sentence: str | None = None) -> Callable[[Run], Run]:
    """Put a check into the table under the function's name."""

    def put(run: Run) -> Run:
        CHECKS[run.__name__] = Check(name=run.__name__, group=group, run=run, sentence=sentence)
        return run

    return put


def without(name: str, use: str) -> str:
    return f"{name} has no meaning here: {use}."


GROUP_OFFLOAD = without(
    "enable_group_offload", "weights travel by stage or by block: use from_pretrained(..., offload='block')"
)
XFORMERS = "attention always runs in torch's fused kernels: leave it out"


def networks(pipe: GlmImagePipeline) -> dict[str, nn.Module]:
    return {name: part for name, part in pipe.components.items() if isinstance(part, nn.Module)}


# every pipeline


@check()
def save_load_local(peer: Peer) -> None:
    pipe = peer.build()
    assert torch.equal(peer.draw(peer.load(peer.saved(pipe))), peer.draw(pipe))


@check()
def pipeline_call_signature(peer: Peer) -> None:
    import diffusers

    theirs = inspect.signature(diffusers.GlmImagePipeline.__call__).parameters
    ours = inspect.signature(GlmImagePipeline.__call__).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert all(each.default is not inspect.Parameter.empty for name, each in ours.items() if name != "self")


@check()
def inference_batch_consistent(peer: Peer) -> None:
    generators = [torch.Generator().manual_seed(number) for number in range(2)]
    assert len(peer.draw(peer.build(), prompt=["A photo", 100 * "very long"], generator=generators)) == 2


@check()
def inference_batch_single_identical(peer: Peer) -> None:
    pipe, prompt = peer.build(), peer.inputs()["prompt"]
    prompts = [prompt, prompt[: len(prompt) // 2], 100 * "very long"]
    batch = peer.draw(pipe, prompt=prompts, generator=[torch.Generator().manual_seed(number) for number in range(3)])
    assert len(batch) == 3 and torch.equal(batch[0], peer.draw(pipe)[0])
    assert not torch.equal(batch[0], batch[1])


@check()
def dict_tuple_outputs_equivalent(peer: Peer) -> None:
    pipe = peer.build()
    as_tuple = pipe(**peer.inputs(), return_dict=False)
    assert isinstance(as_tuple, tuple) and torch.equal(as_tuple[0], pipe(**peer.inputs()).images)


@check()
def components_function(peer: Peer) -> None:
    import diffusers

    expected = set(inspect.signature(diffusers.GlmImagePipeline.__init__).parameters) - {"self"}
    assert set(peer.build().components) == expected


@check()
def float16_inference(peer: Peer) -> None:
    exact = peer.draw(peer.build()).flatten()
    half = peer.draw(peer.build().to("cpu", torch.float16)).flatten().float()
    assert torch.isfinite(half).all() and 1 - torch.cosine_similarity(exact, half, dim=0) < 5e-2


@check()
def save_load_float16(peer: Peer) -> None:
    pipe = peer.build().to(torch.float16)
    pipe.save_pretrained(peer.out / "half")
    again = peer.load(peer.out / "half", dtype=torch.float16)
    assert {part.dtype for part in networks(again).values()} == {torch.float16}
    assert torch.equal(peer.draw(again), peer.draw(pipe))


@check()
def save_load_optional_components(peer: Peer) -> None:
    import diffusers

    assert list(GlmImagePipeline._optional_components) == diffusers.GlmImagePipeline._optional_components == []


@check()
def to_device(peer: Peer) -> None:
    pipe = peer.build()
    devices = ["cpu", *([torch.accelerator.current_accelerator()] if torch.accelerator.is_available() else [])]
    for device in devices:
        assert pipe.to(device) is pipe
        assert {part.device.type for part in networks(pipe).values()} == {torch.device(device).type}
        assert pipe._execution_device.type == torch.device(device).type
        assert torch.isfinite(peer.draw(pipe)).all()


@check()
def to_dtype(peer: Peer) -> None:
    pipe = peer.build()
    assert {part.dtype for part in networks(pipe).values()} == {torch.float32}
    pipe.to(dtype=torch.float16)
    assert {weight.dtype for part in networks(pipe).values() for weight in part.parameters()} == {torch.float16}


@check()
def attention_slicing_forward_pass(peer: Peer) -> None:
    pipe = peer.build()
    before = peer.draw(pipe)
    for size in (1, 2, "auto"):
        pipe.enable_attention_slicing(slice_size=size)
        assert torch.equal(peer.draw(pipe), before)


def offloaded(peer: Peer, call: str, *, twice: bool) -> None:
    pipe = peer.load()
    before = peer.draw(pipe)
    getattr(pipe, call)(device="cpu")
    assert pipe._execution_device.type == "cpu"
    assert {pipe.transformer.device.type, pipe.vision_language_encoder.device.type} == {"meta"}, "they wait in files"
    assert torch.equal(peer.draw(pipe), before)
    if twice:
        getattr(pipe, call)(device="cpu")
        assert torch.equal(peer.draw(pipe), before)


@check()
def sequential_cpu_offload_forward_pass(peer: Peer) -> None:
    offloaded(peer, "enable_sequential_cpu_offload", twice=False)


@check()
def model_cpu_offload_forward_pass(peer: Peer) -> None:
    offloaded(peer, "enable_model_cpu_offload", twice=False)


@check()
def cpu_offload_forward_pass_twice(peer: Peer) -> None:
    offloaded(peer, "enable_model_cpu_offload", twice=True)


@check()
def sequential_offload_forward_pass_twice(peer: Peer) -> None:
    offloaded(peer, "enable_sequential_cpu_offload", twice=True)


@check(sentence=without("enable_xformers_memory_efficient_attention", XFORMERS))
def xformers_attention_forward_pass(peer: Peer) -> None:
    peer.build().enable_xformers_memory_efficient_attention()


@check()
def num_images_per_prompt(peer: Peer) -> None:
    pipe = peer.build()
    for prompts in (1, 2):
        for number in (1, 2):
            made = peer.draw(pipe, prompt=["A cat"] * prompts, num_images_per_prompt=number)
            assert len(made) == prompts * number


@check()
def cfg(peer: Peer) -> None:
    pipe = peer.build()
    plain, guided = peer.draw(pipe, guidance_scale=1.0), peer.draw(pipe, guidance_scale=7.5)
    assert plain.shape == guided.shape and not torch.equal(plain, guided)


@check()
def callback_inputs(peer: Peer) -> None:
    pipe = peer.build()
    allowed, seen = set(pipe._callback_tensor_inputs), []

    def look(pipe: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(set(tensors))
        return tensors

    def clear(pipe: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == pipe.num_timesteps - 1:
            tensors["latents"] = torch.zeros_like(tensors["latents"])
        return tensors

    for asked in (["latents"], pipe._callback_tensor_inputs):
        peer.draw(pipe, callback_on_step_end=look, callback_on_step_end_tensor_inputs=asked, output_type="latent")
    assert seen == [{"latents"}] * 2 + [allowed] * 2
    asked = pipe._callback_tensor_inputs
    made = peer.draw(pipe, callback_on_step_end=clear, callback_on_step_end_tensor_inputs=asked, output_type="latent")
    assert made.abs().sum() == 0


@check()
def callback_cfg(peer: Peer) -> None:
    def raise_guidance(pipe: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._guidance_scale += 1.0
        return tensors

    pipe = peer.build()
    asked = pipe._callback_tensor_inputs
    peer.draw(pipe, guidance_scale=2.0, callback_on_step_end=raise_guidance, callback_on_step_end_tensor_inputs=asked)
    assert pipe.num_timesteps == 2 and pipe.guidance_scale == 2.0 + pipe.num_timesteps


@check()
def serialization_with_variants(peer: Peer) -> None:
    pipe = peer.build()
    folder = peer.saved(pipe, variant="fp16")
    index = json.loads((folder / "model_index.json").read_text())
    for name in networks(pipe):
        assert name in index and [file.name for file in (folder / name).glob("*.fp16.*")]


@check()
def loading_with_variants(peer: Peer) -> None:
    pipe = peer.build()
    again = networks(peer.load(peer.saved(pipe, variant="fp16"), variant="fp16"))
    for name, part in networks(pipe).items():
        found = dict(again[name].named_parameters())
        assert all(torch.equal(weight, found[key]) for key, weight in part.named_parameters())


@check()
def loading_with_incorrect_variants_raises_error(peer: Peer) -> None:
    folder = peer.saved(peer.build())
    with pytest.raises(InkwashError, match="no weights of the variant 'fp16', none: leave variant out"):
        peer.load(folder, variant="fp16")


@check(
    sentence="A pipeline needs vision_language_encoder as well: use from_pretrained, or give all parts.",
)
def encode_prompt_works_in_isolation(peer: Peer) -> None:
    pipe = peer.load(transformer=None, vae=None)  # which means the checkpoint's own
    embeds, none = pipe.encode_prompt(peer.inputs()["prompt"], max_sequence_length=16)
    tokens, _, _ = pipe.generate_prior_tokens(
        peer.inputs()["prompt"], height=32, width=32, generator=torch.Generator().manual_seed(0)
    )
    own = peer.build()
    made = peer.draw(own, prompt=None, prompt_embeds=embeds, negative_prompt_embeds=none, prior_token_ids=tokens)
    assert torch.equal(made, peer.draw(own)), "what is encoded apart draws the same"
    parts = own.components
    GlmImagePipeline(**{name: parts[name] for name in ("processor", "text_encoder", "tokenizer")})


@check(sentence="'GlmImagePipeline' object has no attribute 'unet'")
def StableDiffusionMixin_component(peer: Peer) -> None:
    pipe = peer.build()
    assert pipe.vae is pipe.components["vae"]
    _ = pipe.unet


@check(
    sentence=without(
        "enable_layerwise_casting", "weights are rounded while they are read: use from_pretrained(..., quantize='fp8')"
    )
)
def layerwise_casting_inference(peer: Peer) -> None:
    peer.build().to(torch.bfloat16).transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn)


@check(sentence=GROUP_OFFLOAD)
def group_offloading_inference(peer: Peer) -> None:
    peer.build().transformer.enable_group_offload("cpu", offload_type="leaf_level")


@check()
def dtype_dict(peer: Peer) -> None:
    kinds = {"vision_language_encoder": torch.bfloat16, "default": torch.float16}
    loaded = peer.load(peer.saved(peer.build()), dtype=kinds)
    assert {name: part.dtype for name, part in networks(loaded).items()} == {
        name: kinds.get(name, torch.float16) for name in networks(loaded)
    }


@check()
def dtype_alias(peer: Peer) -> None:
    folder = peer.saved(peer.build())
    for name in ("dtype", "torch_dtype"):
        loaded = peer.load(folder, **{name: torch.float16})
        assert {part.dtype for part in networks(loaded).values()} == {torch.float16}


@check()
def pipeline_with_accelerator_device_map(peer: Peer) -> None:
    pipe = peer.build()
    pipe.save_pretrained(peer.out / "mapped")
    for device in ("cpu", torch.device("cpu"), "balanced" if not torch.accelerator.is_available() else "cpu"):
        mapped = GlmImagePipeline.from_pretrained(peer.out / "mapped", device_map=device)
        assert mapped.device.type == "cpu" and torch.equal(peer.draw(mapped), peer.draw(pipe))


@check(sentence=GROUP_OFFLOAD)
def pipeline_level_group_offloading_sanity_checks(peer: Peer) -> None:
    peer.build().enable_group_offload(onload_device="cpu", offload_type="leaf_level", exclude_modules="vae")


@check(sentence=GROUP_OFFLOAD)
def pipeline_level_group_offloading_inference(peer: Peer) -> None:
    peer.build().enable_group_offload(onload_device="cpu", offload_type="leaf_level")


# the GLM-Image pipeline


@check(GLM)
def inference(peer: Peer) -> None:
    """The reference holds numbers of its own weights; here the reference pipeline draws beside ours."""
    from tests.parity.pipeline_reference import greedy, reference_pipeline

    reference = greedy(reference_pipeline(peer.folder))
    ours = peer.load()
    latents = torch.randn(1, ours.transformer.config.in_channels, 4, 4, generator=torch.Generator().manual_seed(3))
    expected = reference(**peer.inputs(latents=latents.clone()))[0]
    found = peer.draw(ours, latents=latents, top_p=1e-6)
    assert found.shape == (1, 3, 32, 32)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@check(GLM)
def inference_batch_multiple_prompts(peer: Peer) -> None:
    assert peer.draw(peer.build(), prompt=["A photo of a cat", "A photo of a dog"]).shape == (2, 3, 32, 32)


@check(GLM)
def batch_with_num_images_per_prompt(peer: Peer) -> None:
    made = peer.draw(peer.build(), prompt=["A photo of a cat", "A photo of a dog"], num_images_per_prompt=2)
    assert made.shape == (4, 3, 32, 32)


@check(GLM)
def prompt_with_prior_token_ids(peer: Peer) -> None:
    pipe, generator = peer.build(), torch.Generator().manual_seed(0)
    tokens, _, _ = pipe.generate_prior_tokens(
        prompt=peer.inputs()["prompt"], height=32, width=32, device=torch.device("cpu"), generator=generator
    )
    assert torch.equal(peer.draw(pipe, prior_token_ids=tokens), peer.draw(pipe)), "the AR stage is left out"


@check(GLM)
def check_inputs_rejects_invalid_combinations(peer: Peer) -> None:
    pipe, embeds = peer.build(), torch.zeros(1, 16, 48)
    for given in (
        {"prompt": None, "prompt_embeds": embeds},
        {"prompt": None, "prior_token_ids": torch.zeros(1, 4, dtype=torch.long)},
        {"prompt_embeds": embeds},
    ):
        with pytest.raises(InkwashError, match="prompt"):
            peer.draw(pipe, **given)


# pipelines that share parts


@check(SHARED)
def from_pipe_consistent_config(peer: Peer) -> None:
    pipe = peer.build()
    again = GlmImagePipeline.from_pipe(GlmImagePipeline.from_pipe(pipe))
    assert all(getattr(again, name) is getattr(pipe, name) for name in PARTS)


@check(SHARED)
def from_pipe_consistent_forward_pass(peer: Peer) -> None:
    pipe = peer.build()
    before = peer.draw(pipe)
    assert torch.equal(peer.draw(GlmImagePipeline.from_pipe(pipe)), before)
    assert torch.equal(peer.draw(pipe), before)


@check(
    SHARED,
    sentence="Offload reads the weights from the checkpoint's folder: call it right after from_pretrained, or pass "
    "offload='stage' to that.",
)
def from_pipe_consistent_forward_pass_cpu_offload(peer: Peer) -> None:
    GlmImagePipeline.from_pipe(peer.load()).enable_model_cpu_offload(device="cpu")


# latents and arrays


@check(ARRAYS)
def latents_input(peer: Peer) -> None:
    pipe = peer.build()
    noise = pipe.stages.noise(torch.Generator().manual_seed(0), 32, 32)
    assert torch.equal(peer.draw(pipe, latents=noise), peer.draw(pipe, latents=noise.clone()))
    assert not torch.equal(peer.draw(pipe, latents=noise), peer.draw(pipe, latents=-noise))


@check(ARRAYS)
def pt_np_pil_outputs_equivalent(peer: Peer) -> None:
    pipe = peer.build()
    tensor, array, pictures = (pipe(**peer.inputs(output_type=kind))[0] for kind in ("pt", "np", "pil"))
    assert np.array_equal(tensor.permute(0, 2, 3, 1).numpy(), array)
    assert np.array_equal(np.asarray(pictures[0]), (array[0] * 255).round().astype(np.uint8))


@check(ARRAYS)
def pt_np_pil_inputs_equivalent(peer: Peer) -> None:
    from PIL import Image

    pipe, picture = peer.build(), Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    array = np.asarray(picture)
    made = [peer.draw(pipe, image=[image]) for image in (picture, array, torch.from_numpy(array.copy()).movedim(-1, 0))]
    assert torch.equal(made[0], made[1]) and torch.equal(made[0], made[2])


@check(ARRAYS)
def multi_vae(peer: Peer) -> None:
    pipe, other = peer.load(), peer.load()
    before = peer.draw(pipe)
    with torch.no_grad():
        other.vae.decoder.conv_out.weight.mul_(0.5)
    pipe.vae = other.vae
    changed = peer.draw(pipe)
    assert torch.equal(changed, peer.draw(other)) and not torch.equal(changed, before)


# toggles of Stable Diffusion


@check(TOGGLES)
def vae_slicing(peer: Peer) -> None:
    pipe = peer.build()
    before = peer.draw(pipe, prompt=["A cat"] * 2)
    pipe.vae.enable_slicing()
    pipe.enable_vae_slicing()
    assert torch.equal(peer.draw(pipe, prompt=["A cat"] * 2), before)


@check(TOGGLES)
def vae_tiling(peer: Peer) -> None:
    pipe = peer.build()
    before = peer.draw(pipe)
    pipe.vae.enable_tiling()
    pipe.enable_vae_tiling()
    assert torch.equal(peer.draw(pipe), before)
    latents = torch.randn(1, pipe.vae.config.latent_channels, 9, 13, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = pipe.vae.decode(latents)
        tiled = pipe.vae.decode_tiled(latents, tile=8, overlap=4)
    assert whole.shape == tiled.shape == (1, 3, 72, 104) and (whole - tiled).abs().mean() < 0.5


@check(TOGGLES, sentence=without("enable_freeu", "FreeU is for U-Nets, and this decoder is a transformer"))
def freeu(peer: Peer) -> None:
    peer.build().enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)


@check(
    TOGGLES,
    sentence=without("fuse_qkv_projections", "query, key and value are fused when weights are loaded: leave it out"),
)
def fused_qkv_projections(peer: Peer) -> None:
    peer.build().fuse_qkv_projections()


def table() -> str:
    """The part of the document that lists the checks, with the counts."""
    passed = [each for each in CHECKS.values() if each.sentence is None]
    lines = [
        START,
        f"Of {len(CHECKS)} checks, {len(passed)} pass; {len(CHECKS) - len(passed)} have no meaning here and get the "
        "sentence beside them.",
        "",
        "| check | of | outcome |",
        "|---|---|---|",
    ]
    lines += [f"| `{each.name}` | {each.group} | {each.sentence or 'passes'} |" for each in CHECKS.values()]
    return "\n".join([*lines, END])


def write(document: Path = DOCUMENT) -> None:
    """Put the table in its place."""
    text = document.read_text(encoding="utf-8")
    before, rest = text.split(START)
    document.write_text(before + table() + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    write()
