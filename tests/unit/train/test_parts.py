"""Optimisers, average, times, codebook: the pieces that the stages share."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from inkwash.models.glm_image.schedule import shift_sigmas
from inkwash.train.decoder import DecoderTraining, detail_weights, unshifted, upsample_tokens
from inkwash.train.muon import Muon
from inkwash.train.optim import EMA, make_optimizers, split_parameters, warmup_cosine, warmup_stable_decay
from inkwash.train.tokenizer import Codebook, head_losses, relevant
from tests.unit.train.conftest import CODES, SCHEDULER, tiny_tokenizer


@pytest.mark.parametrize("tokens", [64, 128, 256, 1024])
def test_training_times_are_those_of_the_schedule(tokens: int) -> None:
    mu = 0.25 + 0.75 * (tokens / 256) ** 0.5
    sigma = torch.sigmoid(torch.randn(64))
    times = unshifted(sigma, mu)
    assert torch.all((times > 0) & (times < 1))
    np.testing.assert_allclose(shift_sigmas(SCHEDULER, times.double().numpy(), tokens), sigma.numpy(), rtol=1e-5)


def test_priors_are_doubled_in_place() -> None:
    ids = torch.tensor([[[1, 2], [3, 4]]])
    assert upsample_tokens(ids).view(4, 4).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


def test_matrices_of_blocks_go_to_muon_and_the_rest_to_adamw() -> None:
    net = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(4, 4)]), "head": nn.Linear(4, 4)})
    matrices, others = split_parameters([net], "blocks.")
    assert [id(p) for p in matrices] == [id(net["blocks"][0].weight)]
    assert len(others) == 3
    kinds = [type(o) for o in make_optimizers([net], lr=1e-3, muon_marker="blocks.")]
    assert kinds == [torch.optim.AdamW, Muon]


def test_average_moves_towards_the_weights_and_swaps_back() -> None:
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    ema = EMA([net], 0.9)
    nn.init.ones_(net.weight)
    ema.update()
    expected = 1 - 2 / 11
    ema.swap()
    assert net.weight.item() == pytest.approx(expected)
    ema.swap()
    assert net.weight.item() == 1.0


def test_learning_rate_rises_and_falls() -> None:
    rates = [warmup_cosine(s, total=100, warmup=10) for s in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.05, abs=2e-3)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_a_plateau_needs_no_end_before_its_descent() -> None:
    rates = [warmup_stable_decay(s, total=100, warmup=10, decay=0.2) for s in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:81] == [1.0] * 72
    assert rates[90] == pytest.approx(0.5)
    assert rates[100] == 0.0


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_muon_is_torchs_muon_on_stacks(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for _ in range(3)]
    ours, theirs = ([nn.Parameter(x.clone()) for x in start] for _ in range(2))
    mine = Muon(ours, lr=0.02, weight_decay=0.1, ns_steps=5)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, ns_steps=5, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(shape, generator=generator)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b, x in zip(ours, theirs, start, strict=True):
        assert float((a - b).detach().abs().max()) < 2e-3  # bf16 products of another order
        assert float((a - x).detach().abs().max()) > 1e-2
    saved = reference.state_dict()
    mine.load_state_dict(saved)
    assert torch.equal(mine.state[ours[1]]["momentum_buffer"], reference.state[theirs[1]]["momentum_buffer"])
    for parameter in ours:
        parameter.grad = torch.zeros(shape)
    mine.step()  # runs on the state and the settings that torch's own has saved


def test_codebook_starts_on_the_features_and_revives_what_is_unused() -> None:
    _, vq = tiny_tokenizer()
    book = Codebook(vq, 0.9)
    centres = F.normalize(torch.randn(CODES, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    features = F.normalize(centres.repeat(20, 1) + 0.01 * torch.randn(CODES * 20, 8), dim=-1)
    torch.manual_seed(0)
    book.start(features)
    codes = vq.quantize.directions()
    fit = (features @ codes.T).max(1).values.mean().detach()
    drawn = features[torch.randperm(len(features), generator=torch.Generator().manual_seed(1))[:CODES]]
    assert float(fit) > float((features @ drawn.T).max(1).values.mean()) + 0.02
    usage = torch.ones(CODES)
    usage[:3] = 0
    before = codes.clone()
    ids = vq.quantize.nearest(features[None], codes)[0]
    assert book.revive(usage, features, ids) == 3
    moved = (vq.quantize.directions() - before).abs().sum(1) > 1e-6
    assert not moved[3:].any()


def test_heads_are_judged_only_where_their_question_makes_sense() -> None:
    labels = {
        name: torch.zeros(1, 4, dtype=torch.long) for name in ("background", "letter", "face", "color", "shape", "part")
    }
    labels["kind"] = torch.tensor([[0, 1, 2, 0]])
    masks = relevant(labels)
    assert masks["letter"].tolist() == [[False, True, False, False]]
    assert masks["color"].tolist() == [[False, True, True, False]]
    right = torch.full((1, 4, 3), -9.0)
    right[..., 0] = 9.0
    wrong_elsewhere = right.clone()
    wrong_elsewhere[0, [0, 2, 3]] = torch.tensor([-9.0, 9.0, -9.0])
    loss, accuracy = head_losses({"letter": wrong_elsewhere}, labels)
    assert float(loss) < 1e-3
    assert float(accuracy["letter"]) == 1.0


def test_cells_with_detail_weigh_more_and_every_picture_the_same() -> None:
    clean = torch.zeros(2, 3, 8, 12)
    clean[0, :, :4, :4] = torch.linspace(-2, 2, 16).view(4, 4)  # one of six cells
    weights = detail_weights(clean, 3.0)
    assert weights.shape == (2, 1, 8, 12)
    torch.testing.assert_close(weights.mean(dim=(1, 2, 3)), torch.ones(2))
    assert weights[0, 0, 0, 0] == 3 * weights[0, 0, 7, 11] and (weights[1] == 1).all()
    assert (detail_weights(clean, 1.0) == 1).all()


def test_a_detail_weight_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="detail_weight must be above 0"):
        DecoderTraining(steps=1, detail_weight=0.0)
