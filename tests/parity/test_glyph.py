"""The glyph encoder against the reference T5 encoder and byte tokenizer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import ByT5Tokenizer, T5Config, T5EncoderModel
from transformers.models.t5.modeling_t5 import T5Attention

from inkwash.models.glm_image.config import GlyphConfig
from inkwash.models.glm_image.glyph import GlyphEncoder, byte_ids, glyph_ids, relative_buckets


def config(**changes: Any) -> GlyphConfig:
    sizes = {"vocab_size": 300, "d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 3, "num_heads": 4}
    return GlyphConfig(**{**sizes, "feed_forward_proj": "gated-gelu", **changes})


def pair(chosen: GlyphConfig) -> tuple[T5EncoderModel, GlyphEncoder]:
    torch.manual_seed(0)
    reference = T5EncoderModel(T5Config(**chosen.to_dict())).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3 + (parameter.dim() == 1))
    ours = GlyphEncoder(chosen).eval()
    weights = {name: value for name, value in reference.state_dict().items() if name != "encoder.embed_tokens.weight"}
    ours.load_state_dict(weights, strict=True)
    return reference, ours


@pytest.mark.parametrize("kind", ["gated-gelu", "gated-silu", "relu", "gelu"])
def test_forward(kind: str) -> None:
    """Rows of several lengths, long enough for the far buckets."""
    reference, ours = pair(config(feed_forward_proj=kind, relative_attention_max_distance=20))
    ids = torch.randint(0, 300, (3, 45))
    mask = torch.arange(45) < torch.tensor([[45], [1], [17]])
    with torch.no_grad():
        expected = reference(ids, attention_mask=mask.long()).last_hidden_state[mask]
        actual = ours(ids, mask)[mask]
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_bfloat16() -> None:
    reference, ours = pair(config())
    ids, mask = torch.randint(0, 300, (2, 12)), torch.ones(2, 12)
    with torch.no_grad():
        expected = reference(ids, attention_mask=mask).last_hidden_state
        limit = (reference.bfloat16()(ids, attention_mask=mask).last_hidden_state - expected).square().mean().sqrt()
        actual = ours.bfloat16()(ids, mask)
    assert actual.dtype == torch.bfloat16
    assert (actual - expected).square().mean().sqrt() <= 1.5 * limit


@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (8, 16), (16, 200)])
def test_relative_buckets(buckets: int, distance: int) -> None:
    signed = torch.arange(-300, 301)
    expected = T5Attention._relative_position_bucket(signed, num_buckets=buckets, max_distance=distance)
    assert torch.equal(relative_buckets(signed, buckets, distance), expected)


@pytest.mark.parametrize("text", ["", "Hello", "水墨 ink", "naïve – 🖌", "x" * 5000])
def test_byte_ids(text: str) -> None:
    assert byte_ids(text) == ByT5Tokenizer()(text, max_length=2048, truncation=True).input_ids


@pytest.mark.parametrize("texts", [[], ["HELLO"], ["one", "three"], ["a", "bb", "水墨"]])
def test_encode_texts(texts: list[str]) -> None:
    """The embeddings of one picture's texts, as the released pipeline gathers them."""
    from diffusers.pipelines.glm_image.pipeline_glm_image import GlmImagePipeline

    reference, ours = pair(config())

    class Pipeline:
        tokenizer, text_encoder, _execution_device = ByT5Tokenizer(), reference, torch.device("cpu")
        get_glyph_texts = GlmImagePipeline.get_glyph_texts

    with torch.no_grad():
        prompt = " ".join(f'"{text}"' for text in texts)
        expected = GlmImagePipeline._get_glyph_embeds(Pipeline(), prompt=[prompt])  # type: ignore[arg-type]
        actual, mask = ours.encode([texts])
        batch, batch_mask = ours.encode([texts, ["a longer companion"], []])
    assert mask.all() and actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert torch.allclose(batch[0][batch_mask[0]], actual[0], atol=1e-5)
    assert batch_mask.sum(1).tolist() == [glyph_ids(row)[1].sum().item() for row in (texts, ["a longer companion"], [])]
