"""The decoder alone: padding, guidance, references per row, the prepared path, training, starting weights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from inkwash.core.errors import ConfigError
from inkwash.models.glm_image import decoder_blocks
from inkwash.models.glm_image.config import DecoderConfig, GlyphConfig
from inkwash.models.glm_image.decoder import Decoder, fuse_qkv, init_weights
from inkwash.models.glm_image.decoder_blocks import References, step_rotary
from inkwash.models.glm_image.glyph import GlyphEncoder
from inkwash.models.glm_image.glyph import init_weights as init_glyph_weights
from inkwash.nn.attention import attention

CONFIG = DecoderConfig(
    in_channels=4,
    out_channels=4,
    num_layers=3,
    attention_head_dim=16,
    num_attention_heads=3,
    text_embed_dim=20,
    time_embed_dim=32,
    condition_dim=8,
    prior_vq_quantizer_codebook_size=40,
)


@pytest.fixture
def decoder() -> Decoder:
    torch.manual_seed(0)
    model = Decoder(CONFIG).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.15)
    return model


def inputs(rows: int = 2, height: int = 4, width: int = 6, glyphs: int = 5) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(3)
    return {
        "latents": torch.randn(rows, 4, height, width, generator=draw),
        "glyphs": torch.randn(rows, glyphs, 20, generator=draw),
        "prior_ids": torch.randint(0, 40, (rows, height * width // 4), generator=draw),
        "timestep": torch.rand(rows, generator=draw) * 999,
        "target_size": torch.tensor([[height * 8.0, width * 8.0]]).repeat(rows, 1),
        "crop": torch.zeros(rows, 2),
    }


def row(x: dict[str, Any], i: int) -> dict[str, Any]:
    return {name: value[i : i + 1] for name, value in x.items()}


def picture(seed: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    latent = torch.randn(1, 4, height, width, generator=draw)
    return latent, torch.randint(0, 40, (1, height * width // 4)), torch.tensor([[height * 8.0, width * 8.0]])


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding_is_not_seen(decoder: Decoder, side: str) -> None:
    x = inputs()
    expected = decoder(**x)
    pad = (0, 0, 3, 0) if side == "left" else (0, 0, 0, 3)
    glyphs = torch.nn.functional.pad(x["glyphs"], pad, value=50.0)
    mask = torch.nn.functional.pad(torch.ones(2, 5, dtype=torch.bool), pad[2:], value=False)
    torch.testing.assert_close(decoder(**{**x, "glyphs": glyphs}, glyph_mask=mask), expected)
    assert not torch.allclose(decoder(**{**x, "glyphs": glyphs}), expected, atol=1e-3)


@torch.no_grad()
def test_no_glyphs_at_all(decoder: Decoder) -> None:
    """A fully masked row equals a row with a glyph length of 0."""
    x = inputs()
    empty = decoder(**{**x, "glyphs": x["glyphs"][:, :0]})
    torch.testing.assert_close(decoder(**x, glyph_mask=torch.zeros(2, 5, dtype=torch.bool)), empty)


@torch.no_grad()
def test_rows_are_independent(decoder: Decoder) -> None:
    """Rows of different glyph length and different references equal the rows alone."""
    x = inputs(rows=4)
    lengths = [5, 2, 3, 1]
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    first, second = (decoder.encode_reference(*picture(seed, 4, 4 + 2 * seed)) for seed in (1, 2))
    pictures = [[first, second], [], [second], []]
    together = decoder(**x, glyph_mask=mask, references=References.collect(pictures[:3]))
    for i, length in enumerate(lengths):
        alone = row(x, i)
        alone["glyphs"] = alone["glyphs"][:, :length]
        references = References.collect([pictures[i]])
        assert (references is None) == (not pictures[i])
        torch.testing.assert_close(together[i : i + 1], decoder(**alone, references=references), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], decoder(**x, glyph_mask=mask)[0], atol=1e-3)


def test_a_reference_is_one_picture(decoder: Decoder) -> None:
    latent, ids, size = picture(1, 4, 4)
    two = decoder.encode_reference(latent.repeat(2, 1, 1, 1), ids.repeat(2, 1), size.repeat(2, 1))
    with pytest.raises(ConfigError, match="one by one"):
        References.collect([[two]])


@pytest.mark.parametrize("sizes_differ", [False, True])
def test_step_equals_forward(decoder: Decoder, sizes_differ: bool) -> None:
    x = inputs(rows=3)
    if sizes_differ:
        x["target_size"] = torch.tensor([[32.0, 48.0], [64.0, 96.0], [32.0, 40.0]])
    mask, drop = torch.arange(5) < torch.tensor([[5], [2], [4]]), torch.tensor([False, True, False])
    with torch.no_grad():
        references = References.shared([decoder.encode_reference(*picture(4, 4, 6))], rows=2)
    more: dict[str, Any] = {"glyph_mask": mask, "prior_drop": drop, "references": references}
    timesteps = torch.tensor([999.0, 321.0, 0.0])
    names = ("glyphs", "prior_ids", "target_size", "crop")
    conditions = decoder.prepare(**{name: x[name] for name in names}, timesteps=timesteps, size=(4, 6), **more)
    assert conditions.steps == 3
    assert conditions.final.shape[1] == (3 if sizes_differ else 1)
    for i, timestep in enumerate(timesteps):
        with torch.no_grad():
            expected = decoder(**{**x, "timestep": timestep.expand(3)}, **more)
        torch.testing.assert_close(decoder.step(x["latents"], conditions, i), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_some_tokens_at_a_time_are_rotated_as_all_at_once(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 11, 2, 3, 8).to(dtype)
    angles = torch.randn(11, 8)
    cos, sin = step_rotary((angles.cos(), angles.sin()))
    expected = (x * cos + x.roll(4, -1) * sin).to(dtype)
    made = []
    for tokens in (1, 4, 11, 100):
        got = x.clone()
        monkeypatch.setattr(decoder_blocks, "ROTATED", tokens * 2 * 2 * 3 * 8)
        decoder_blocks._rotate(got, (cos, sin))
        assert not torch.equal(got, x)
        torch.testing.assert_close(got, expected, rtol=1e-2 if dtype == torch.bfloat16 else 1e-6, atol=1e-6)
        made.append(got)
    assert all(torch.equal(each, made[0]) for each in made)


def test_steps_need_no_masks(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scattered padding and references of several lengths reach the attention kernel as plain slices."""
    x = inputs(rows=5)
    mask = torch.tensor([[1, 0, 1, 0, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]).bool()
    with torch.no_grad():
        a, b = (decoder.encode_reference(*picture(seed, 4, 2 + 2 * seed)) for seed in (1, 2))
        references = References.collect([[a, b], [b], []])
        expected = decoder(**{**x, "timestep": torch.full((5,), 7.0)}, glyph_mask=mask, references=references)
    names = ("glyphs", "prior_ids", "target_size", "crop")
    conditions = decoder.prepare(
        **{name: x[name] for name in names},
        timesteps=torch.tensor([7.0]),
        size=(4, 6),
        glyph_mask=mask,
        references=references,
    )
    assert [(group.start, group.stop) for group in conditions.groups] == [(0, 1), (1, 2), (2, 3), (3, 5)]
    assert conditions.glyph.shape[1] == 3

    def plain(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
        assert options == {}
        return attention(q, k, v)

    monkeypatch.setattr("inkwash.models.glm_image.decoder_blocks.attention", plain)
    torch.testing.assert_close(decoder.step(x["latents"], conditions, 0), expected, rtol=1e-4, atol=1e-5)


def test_steps_repeat_latents_for_guidance(decoder: Decoder) -> None:
    x, twice = inputs(rows=2), {name: torch.cat([value, value]) for name, value in inputs(rows=2).items()}
    drop = torch.tensor([False, False, True, True])
    names = ("glyphs", "prior_ids", "target_size", "crop")
    conditions = decoder.prepare(
        **{name: twice[name] for name in names}, timesteps=torch.tensor([10.0]), size=(4, 6), prior_drop=drop
    )
    torch.testing.assert_close(decoder.step(x["latents"], conditions, 0), decoder.step(twice["latents"], conditions, 0))


def test_fused_projections(decoder: Decoder) -> None:
    x = inputs()
    plain = copy.deepcopy(decoder)
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    fuse_qkv(decoder)
    assert all(block.attn1.fused is not None for block in decoder.blocks)
    after = decoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    with torch.no_grad():
        torch.testing.assert_close(decoder(**x), plain(**x))
        for model in (decoder, plain):  # new weights reach the fused matrix too
            model.blocks[0].attn1.to_k.weight.mul_(3.0)
        torch.testing.assert_close(decoder(**x), plain(**x))
    decoder(**x).sum().backward()
    assert decoder.blocks[1].attn1.to_v.weight.grad is not None
    decoder.double()
    assert all(block.attn1.fused is None for block in decoder.blocks)


@pytest.mark.parametrize("when", ["before", "after"])
@torch.no_grad()
def test_fusing_leaves_adapted_layers_alone(decoder: Decoder, when: str) -> None:
    """A layer that somebody wrapped, such as an adapter, keeps its own forward."""

    class Adapted(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 1.5

    plain, x = copy.deepcopy(decoder), inputs()
    if when == "after":
        fuse_qkv(decoder)
    for model in (plain, decoder):
        adapted = Adapted(48, 48)
        adapted.load_state_dict(plain.blocks[0].attn1.to_v.state_dict())
        model.blocks[0].attn1.to_v = adapted
    if when == "before":
        fuse_qkv(decoder)
    assert decoder.blocks[1].attn1.fused is not None
    torch.testing.assert_close(decoder(**x), plain(**x))


@pytest.mark.slow
def test_one_graph(decoder: Decoder) -> None:
    """The training pass traces as one graph, so a recipe may compile it."""
    x, mask = inputs(), torch.arange(5) < torch.tensor([[5], [2]])
    traced = torch.compile(decoder, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(**x, glyph_mask=mask), decoder(**x, glyph_mask=mask))


@pytest.mark.parametrize("mode", ["float32", "autocast", "bfloat16"])
def test_learns_one_batch(mode: str) -> None:
    """From the starting weights, a few steps halve the loss in every numeric mode, and every parameter learns."""
    torch.manual_seed(0)
    model = Decoder(CONFIG)
    init_weights(model)
    x, target = inputs(rows=4), torch.randn(4, 4, 4, 6)
    if mode == "bfloat16":
        model.bfloat16()
    start = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(30):
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
            output = model(**x, glyph_mask=torch.arange(5) < torch.tensor([[5], [1], [0], [3]]))
        loss = (output.float() - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    still = [name for name, value in model.named_parameters() if torch.equal(value, start[name])]
    assert still == []


def test_starting_weights_draw_nothing() -> None:
    """Zero velocity at the start, and blocks that hand their input on."""
    model = Decoder(CONFIG).eval()
    init_weights(model)
    x = inputs()
    with torch.no_grad():
        assert model(**x).abs().max() == 0
        image, glyph = torch.randn(2, 6, 48), torch.randn(2, 5, 48)
        condition = model.time_condition_embed(x["timestep"], x["target_size"], x["crop"])
        rotary = (torch.ones(6, 16), torch.zeros(6, 16))
        out = model.blocks[0](image, glyph, condition, rotary)
    assert torch.equal(out[0], image)
    assert torch.equal(out[1], glyph)


def test_glyph_encoder_learns_through_the_decoder(decoder: Decoder) -> None:
    sizes: dict[str, Any] = {"d_model": 20, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    encoder = GlyphEncoder(GlyphConfig(vocab_size=259, feed_forward_proj="gated-gelu", **sizes), dropout=0.1)
    init_glyph_weights(encoder)
    with torch.autocast("cpu", torch.bfloat16):
        glyphs, mask = encoder.encode([["HELLO", "world"], []])
        decoder(**{**inputs(), "glyphs": glyphs}, glyph_mask=mask).float().square().mean().backward()
    missing = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert missing == []
    assert 0.3 < glyphs.float().std() < 3.0


@pytest.mark.parametrize("change", [{"height": 5}, {"width": 7}])
def test_wrong_sizes(decoder: Decoder, change: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="patches"):
        decoder(**inputs(**change))


def test_wrong_number_of_prior_tokens(decoder: Decoder) -> None:
    x = inputs()
    x["prior_ids"] = x["prior_ids"][:, :-1]
    with pytest.raises(ConfigError, match="5 prior tokens"):
        decoder(**x)
    with pytest.raises(ConfigError, match="5 prior tokens"):
        decoder.prepare(x["glyphs"], x["prior_ids"], x["timestep"], x["target_size"], x["crop"], size=(4, 6))


@pytest.mark.parametrize("field", ["num_layers", "attention_head_dim", "condition_dim"])
def test_config_errors_name_the_field(field: str) -> None:
    values = CONFIG.to_dict()
    with pytest.raises(ConfigError, match=field):
        DecoderConfig.from_dict({**values, field: 0 if field == "num_layers" else 3})
    del values[field]
    with pytest.raises(ConfigError, match=f"lacks {field}"):
        DecoderConfig.from_dict(values)
