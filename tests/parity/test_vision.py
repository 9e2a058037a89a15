"""ViT features are the reference's: per block, whole, and for grids below, at and above the learned one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from inkwash.core.errors import ConfigError
from inkwash.models.glm_image.ar import Grid, VisionEncoder, init_vision_weights
from inkwash.models.glm_image.config import VisionConfig
from tests.parity.ar_reference import PATCH, VISION, grid_tensor, packed, pair, pictures, relative_error

SIZES: list[Grid] = [(8, 8), (3, 5), (11, 4), (1, 1), (13, 17)]


@pytest.mark.parametrize("grid", SIZES)
def test_features(grid: Grid) -> None:
    reference, ours = pair()
    pixels = pictures([grid])
    with torch.no_grad():
        expected = reference.model.visual(packed(pixels), grid_tensor([grid])).last_hidden_state
        assert relative_error(ours.model.visual(pixels[0])[0], expected) < 1e-5


def test_features_under_autograd_are_the_same() -> None:
    reference, ours = pair()
    pixels = pictures([(6, 4)])
    features = ours.model.visual(pixels[0])
    assert features.requires_grad
    expected = reference.model.visual(packed(pixels), grid_tensor([(6, 4)])).last_hidden_state
    assert relative_error(features[0], expected) < 1e-5


def test_pictures_of_a_packed_call_do_not_see_each_other() -> None:
    reference, ours = pair()
    grids: list[Grid] = [(3, 5), (8, 2), (3, 5)]
    pixels = pictures(grids)
    with torch.no_grad():
        expected = reference.model.visual(packed(pixels), grid_tensor(grids)).last_hidden_state.split([15, 16, 15])
        batch = ours.model.visual(torch.cat([pixels[0], pixels[2]]))
        assert relative_error(batch[0], expected[0]) < 1e-5
        assert relative_error(batch[1], expected[2]) < 1e-5
        assert relative_error(ours.model.visual(pixels[1])[0], expected[1]) < 1e-5


@pytest.mark.parametrize("grid", SIZES)
def test_positions_are_interpolated_as_the_reference_does(grid: Grid) -> None:
    reference, ours = pair()
    rows, columns = grid
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    zeros = torch.zeros(rows * columns, VISION["hidden_size"])
    with torch.no_grad():
        expected = reference.model.visual.embeddings(
            zeros, torch.tensor([rows * columns]), grid_tensor([grid]), row.flatten(), column.flatten()
        )
        torch.testing.assert_close(ours.model.visual.embeddings(rows, columns), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("index", range(VISION["depth"]))
def test_block(index: int) -> None:
    reference, ours = pair()
    x = torch.randn(1, 12, VISION["hidden_size"], generator=torch.Generator().manual_seed(index))
    with torch.no_grad():
        expected = reference.model.visual.blocks[index](x[0], cu_seqlens=torch.tensor([0, 12]))
        assert relative_error(ours.model.visual.blocks[index](x)[0], expected) < 1e-5


def test_gradients_are_the_reference_gradients() -> None:
    reference, ours = pair()
    pixels = pictures([(4, 6)])
    direction = torch.randn(24, VISION["hidden_size"], generator=torch.Generator().manual_seed(5))
    theirs = reference.model.visual(packed(pixels), grid_tensor([(4, 6)])).last_hidden_state
    expected = torch.autograd.grad((theirs * direction).sum(), list(reference.model.visual.parameters()))
    names = [name for name, _ in reference.model.visual.named_parameters()]
    parameters = dict(ours.model.visual.named_parameters())
    features = ours.model.visual(pixels[0])[0]
    found = torch.autograd.grad((features * direction).sum(), [parameters[name] for name in names])
    for name, mine, theirs_grad in zip(names, found, expected, strict=True):
        assert relative_error(mine, theirs_grad) < 1e-4 or theirs_grad.abs().max() < 1e-4, name


def test_bf16_module_and_autocast_stay_close() -> None:
    _, ours = pair()
    pixels = pictures([(5, 4)])[0]
    with torch.no_grad():
        exact = ours.model.visual(pixels)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = ours.model.visual(pixels)
        half = VisionEncoder(ours.config.vision_config)
        half.load_state_dict(ours.model.visual.state_dict())
        features = half.bfloat16()(pixels)
    assert features.dtype == torch.bfloat16
    for rounded in (mixed.float(), features.float()):
        assert F.cosine_similarity(rounded, exact, dim=-1).min() > 0.995


def test_a_size_between_patches_is_refused() -> None:
    _, ours = pair()
    with pytest.raises(ConfigError, match=f"multiples of {PATCH}, got 40x32"):
        ours.model.visual(torch.zeros(1, 3, 40, 32))


def test_init_weights_starts_fresh() -> None:
    model = VisionEncoder(VisionConfig.from_dict(VISION))
    init_vision_weights(model, 0.01)
    assert model.blocks[0].attn.qkv.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert model.embeddings.position_embedding.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert torch.all(model.blocks[1].norm2.weight == 1)
    assert not model.blocks[0].mlp.fc1.bias.any()
