"""Semantic tokens are the reference's ids, bit for bit; the training outputs and their gradients agree too."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from inkwash.models.glm_image.ar import Grid, VQModel, init_vq_weights
from inkwash.models.glm_image.config import VQConfig
from tests.parity.ar_reference import CODES, VQ, grid_tensor, packed, pair, pictures, relative_error


def test_ids_are_exact() -> None:
    reference, ours = pair()
    features = torch.randn(4, 600, VQ["latent_channels"], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps = rearrange(features, "b (h w) d -> b d h w", h=20)
        expected = reference.model.vqmodel.encode(maps).image_tokens
        ids = ours.model.vqmodel.encode(features)
    assert ids.shape == (4, 600)
    assert ids.dtype == torch.long
    assert torch.equal(ids.flatten(), expected)
    assert len(ids.unique()) > 0.9 * CODES  # the comparison covers the codebook


@pytest.mark.parametrize("grid", [(8, 8), (3, 7), (12, 5)])
def test_picture_to_ids(grid: Grid) -> None:
    reference, ours = pair()
    pixels = pictures([grid], seed=3)
    with torch.no_grad():
        maps = reference.model.get_image_features(packed(pixels), grid_tensor([grid])).pooler_output
        expected = reference.model.get_image_tokens(maps)
    ids = ours.image_ids(pixels[0])
    assert ids.shape == (1, grid[0] * grid[1])
    assert torch.equal(ids[0], expected)


def test_training_outputs_and_gradients() -> None:
    reference, ours = pair()
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(2, 12, VQ["latent_channels"], generator=generator)
    direction = torch.randn(2, 12, VQ["embed_dim"], generator=generator)
    names = ["quantize.embedding.weight", "quant_conv.weight", "quant_conv.bias"]

    theirs_in = features.clone().requires_grad_()
    output = reference.model.vqmodel.encode(rearrange(theirs_in, "b (h w) d -> b d h w", h=3))
    value = rearrange(output.quantized_last_hidden_state, "b d h w -> b (h w) d")
    parameters = dict(reference.model.vqmodel.named_parameters())
    expected = torch.autograd.grad(
        output.embedding_loss + (value * direction).sum(), [theirs_in, *(parameters[n] for n in names)]
    )

    ours_in = features.clone().requires_grad_()
    quantized, ids, loss = ours.model.vqmodel(ours_in)
    parameters = dict(ours.model.vqmodel.named_parameters())
    found = torch.autograd.grad(loss + (quantized * direction).sum(), [ours_in, *(parameters[n] for n in names)])

    assert torch.equal(ids.flatten(), output.image_tokens)
    assert relative_error(quantized, value) < 1e-5
    torch.testing.assert_close(loss, output.embedding_loss, rtol=1e-5, atol=1e-7)
    for mine, theirs in zip(found, expected, strict=True):
        assert relative_error(mine, theirs) < 1e-4


def test_decode_is_the_1x1_convolution_back() -> None:
    reference, ours = pair()
    quantized = torch.randn(1, 6, VQ["embed_dim"], generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = reference.model.vqmodel.post_quant_conv(rearrange(quantized, "b (h w) d -> b d h w", h=2))
        assert relative_error(ours.model.vqmodel.decode(quantized), rearrange(expected, "b d h w -> b (h w) d")) < 1e-5


def test_ids_do_not_change_under_autocast() -> None:
    _, ours = pair()
    codebook = ours.model.vqmodel.quantize
    z = F.normalize(torch.randn(500, VQ["embed_dim"], generator=torch.Generator().manual_seed(6)), dim=-1)
    exact = codebook.nearest(z, codebook.directions())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(codebook.nearest(z, codebook.directions()), exact)


def test_every_code_is_its_own_nearest_whatever_its_length() -> None:
    model = VQModel(VQConfig.from_dict(VQ))
    init_vq_weights(model, 0.3)
    with torch.no_grad():
        model.quantize.embedding.weight.mul_(torch.linspace(0.1, 9, CODES)[:, None])
    directions = model.quantize.directions()
    assert torch.equal(model.quantize.nearest(directions, directions), torch.arange(CODES))
    assert not model.quant_conv.bias.any()
