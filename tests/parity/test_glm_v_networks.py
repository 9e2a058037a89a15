"""The GLM-V networks compute what the reference computes: ViT, dense decoder, decoder with experts, greedy answers.

The second half holds our own paths to each other: prefill to decode, a row of a batch to the same row alone, a
picture alone to the same picture among others, pictures and videos in one prompt.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from inkwash.core.errors import ConfigError
from inkwash.models.glm_v.config import GlmVConfig, MoETextConfig
from inkwash.models.glm_v.model import GlmV, init_weights
from inkwash.models.glm_v.moe import Router
from inkwash.models.glm_v.positions import prompt_positions
from inkwash.models.glm_v.vision import PatchGrid
from inkwash.models.weights import save_module
from tests.parity.batches import left_pad
from tests.parity.glm_v_reference import (
    KINDS,
    PAD,
    build_reference,
    grid_tensor,
    load_ours,
    pair,
    patches,
    prompt,
    reference_inputs,
    relative_error,
)

Media = tuple[list[PatchGrid], list[PatchGrid]]
TEXT_ONLY: Media = ([], [])
CASES: list[Media] = [
    TEXT_ONLY,
    ([(1, 4, 6)], []),
    ([(1, 2, 2), (1, 6, 4), (1, 2, 10)], []),
    ([], [(3, 4, 2)]),
    ([], [(1, 4, 4), (2, 2, 6)]),
]


def ours_inputs(
    pictures: list[PatchGrid], videos: list[PatchGrid], seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Ids (1, L), modality (1, L), positions (3, 1, L), and where the answer begins."""
    ids, modality = prompt(pictures, videos, seed)
    positions, following = prompt_positions(modality, [*pictures, *videos], merge=2)
    return torch.tensor([ids]), torch.tensor([modality]), positions[:, None], following


def see(model: GlmV, pictures: list[PatchGrid], videos: list[PatchGrid]) -> Tensor | None:
    parts = [patches(grids) for grids in (pictures, videos) if grids]
    return model.see(torch.cat(parts), [*pictures, *videos]) if parts else None


def reference_logits(model: Any, inputs: dict[str, Any]) -> Tensor:
    model.model.rope_deltas = None
    with torch.no_grad():
        logits: Tensor = model(**inputs).logits
    return logits


@torch.no_grad()
def ours_logits(model: GlmV, pictures: list[PatchGrid], videos: list[PatchGrid], seed: int = 0) -> Tensor:
    ids, modality, positions, _ = ours_inputs(pictures, videos, seed)
    hidden = model(ids, positions, features=see(model, pictures, videos), modality=modality)
    logits: Tensor = model.lm_head(hidden)
    return logits


@torch.no_grad()
def greedy(model: GlmV, pictures: list[PatchGrid], videos: list[PatchGrid], steps: int) -> tuple[list[int], Tensor]:
    """The likeliest tokens one by one over a cache, and the logits of the last step."""
    ids, modality, positions, following = ours_inputs(pictures, videos)
    cache = model.make_cache(1, ids.shape[1] + steps)
    hidden = model(ids, positions, features=see(model, pictures, videos), modality=modality, cache=cache)
    answer: list[int] = []
    for step in range(steps):
        logits = model.lm_head(hidden[:, -1])
        answer.append(int(logits.argmax()))
        place = torch.full((3, 1, 1), following + step)
        hidden = model(torch.tensor([[answer[-1]]]), place, cache=cache, start=ids.shape[1] + step)
    return answer, logits


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_pictures_of_different_sizes(kind: str) -> None:
    reference, ours = pair(kind)
    grids: list[PatchGrid] = [(1, 4, 6), (1, 10, 2), (1, 2, 2), (1, 6, 4), (1, 4, 6)]
    with torch.no_grad():
        expected = torch.cat(reference.model.get_image_features(patches(grids), grid_tensor(grids)).pooler_output)
        assert relative_error(ours.see(patches(grids), grids), expected) < 1e-5


def test_features_of_films_attend_within_a_frame() -> None:
    reference, ours = pair("dense")
    grids: list[PatchGrid] = [(3, 4, 6), (2, 2, 8)]
    with torch.no_grad():
        expected = torch.cat(reference.model.get_video_features(patches(grids), grid_tensor(grids)).pooler_output)
        found = ours.see(patches(grids), grids)
        frames: list[PatchGrid] = [(1, 4, 6)] * 3 + [(1, 2, 8)] * 2
        assert relative_error(found, expected) < 1e-5
        assert torch.equal(found, ours.see(patches(grids), frames))


def test_a_picture_among_others_is_the_picture_alone() -> None:
    _, ours = pair("dense")
    grids: list[PatchGrid] = [(1, 4, 6), (1, 6, 4), (1, 4, 6)]
    rows = patches(grids)
    with torch.no_grad():
        together = ours.see(rows, grids).split(6)
        for number, grid in enumerate(grids):
            alone = ours.see(rows[number * 24 : number * 24 + 24], [grid])
            assert relative_error(together[number], alone) < 1e-5


@pytest.mark.parametrize(
    ("grids", "rows", "words"),
    [
        ([(1, 3, 4)], 12, "multiples of 2"),
        ([(1, 4, 4)], 12, r"shape \(16, 96\)"),
        ([], 4, "shape"),
        ([(0, 2, 2)], 0, "time"),
    ],
)
def test_grids_that_do_not_fit_are_refused(grids: list[PatchGrid], rows: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        pair("dense")[1].see(torch.zeros(rows, 96), grids)


@pytest.mark.parametrize(("pictures", "videos"), CASES)
def test_positions_are_the_reference_positions(pictures: list[PatchGrid], videos: list[PatchGrid]) -> None:
    reference, _ = pair("dense")
    ids, modality, positions, following = ours_inputs(pictures, videos)
    expected, delta = reference.model.get_rope_index(
        ids,
        modality,
        grid_tensor(pictures) if pictures else None,
        grid_tensor(videos) if videos else None,
        torch.ones_like(ids),
    )
    assert torch.equal(positions, expected)
    assert following == ids.shape[1] + int(delta)


def test_positions_of_a_mixed_prompt_are_the_reference_positions() -> None:
    reference, _ = pair("dense")
    pictures: list[PatchGrid] = [(1, 4, 6), (1, 2, 8)]
    videos: list[PatchGrid] = [(2, 4, 2)]
    ids, modality, positions, _ = ours_inputs(pictures, videos)
    expected, _ = reference.model.get_rope_index(ids, modality, grid_tensor(pictures), grid_tensor(videos))
    assert torch.equal(positions, expected)


@pytest.mark.parametrize(
    ("modality", "grids", "words"),
    [
        ([0, 1, 1, 0], [(1, 4, 4)], "fills 2 tokens of the prompt, but its grid has 2x2"),
        ([0, 1, 0], [], "no grid is left"),
        ([0, 0], [(1, 2, 2)], "more pictures and frames in the grids"),
    ],
)
def test_positions_refuse_grids_that_do_not_fit(modality: list[int], grids: list[PatchGrid], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        prompt_positions(modality, grids, merge=2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("pictures", "videos"), CASES)
def test_logits(kind: str, pictures: list[PatchGrid], videos: list[PatchGrid]) -> None:
    reference, ours = pair(kind)
    ids, modality = prompt(pictures, videos)
    expected = reference_logits(reference, reference_inputs(ids, modality, pictures, videos))
    assert relative_error(ours_logits(ours, pictures, videos), expected) < 1e-5


@pytest.mark.parametrize(
    "text",
    [
        {"n_group": 1, "topk_group": 1},
        {"norm_topk_prob": False, "n_group": 2, "topk_group": 1},
        {"first_k_dense_replace": 0, "num_experts_per_tok": 1},
    ],
)
def test_other_mixtures(text: dict[str, Any], tmp_path: Path) -> None:
    reference = build_reference("experts", seed=3, **text)
    reference.save_pretrained(tmp_path)
    ids, modality = prompt([(1, 4, 4)], [])
    expected = reference_logits(reference, reference_inputs(ids, modality, [(1, 4, 4)], []))
    assert relative_error(ours_logits(load_ours(tmp_path), [(1, 4, 4)], []), expected) < 1e-5


def test_the_correction_chooses_and_does_not_weigh() -> None:
    _, ours = pair("experts")
    text = ours.config.text_config
    assert isinstance(text, MoETextConfig)
    router = Router(dataclasses.replace(text, n_group=1, topk_group=1, norm_topk_prob=False, routed_scaling_factor=1.0))
    torch.nn.init.normal_(router.weight)
    router.e_score_correction_bias[5] = 100.0
    tokens = torch.randn(7, text.hidden_size)
    chosen, weights = router(tokens)
    assert (chosen == 5).any(-1).all()
    assert torch.allclose(weights, (tokens @ router.weight.T).sigmoid().gather(1, chosen), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("pictures", "videos"), [CASES[2], CASES[3]])
def test_greedy_answers_of_200_tokens(kind: str, pictures: list[PatchGrid], videos: list[PatchGrid]) -> None:
    reference, ours = pair(kind)
    ids, modality = prompt(pictures, videos)
    inputs = reference_inputs(ids, modality, pictures, videos)
    reference.model.rope_deltas = None
    expected = reference.generate(**inputs, max_new_tokens=200)[0, len(ids) :].tolist()
    answer, _ = greedy(ours, pictures, videos, 200)
    assert answer == expected
    assert len(set(answer)) > 3, "a constant answer would prove nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_reference_gradients(kind: str) -> None:
    reference = build_reference(kind, seed=5)
    config = GlmVConfig.from_dict(reference.config.to_dict())
    ours = GlmV(config)
    state = reference.state_dict()
    with torch.no_grad():
        for name, tensor in ours.state_dict().items():
            tensor.copy_(state[name] if name in state else _expert(state, name))
    ids, modality, positions, _ = ours_inputs([(1, 4, 6)], [])
    hidden = ours(ids, positions, features=see(ours, [(1, 4, 6)], []), modality=modality)
    torch.nn.functional.cross_entropy(ours.lm_head(hidden)[0, :-1], ids[0, 1:]).backward()
    logits = reference(**reference_inputs(ids[0].tolist(), modality[0].tolist(), [(1, 4, 6)], [])).logits
    torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:]).backward()
    expected = {name: parameter.grad for name, parameter in reference.named_parameters()}
    for name, parameter in ours.named_parameters():
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        other = expected[name] if name in expected else _expert(expected, name)
        assert torch.allclose(found, other, atol=2e-5, rtol=1e-3), name


def _expert(state: dict[str, Any], name: str) -> Tensor:
    """One expert's matrix out of the reference's stacked ones."""
    before, _, after = name.partition(".experts.")
    number, projection, _ = after.split(".")
    if projection == "down_proj":
        found: Tensor = state[f"{before}.experts.down_proj"][int(number)]
        return found
    gate, up = state[f"{before}.experts.gate_up_proj"][int(number)].chunk(2)
    return gate if projection == "gate_proj" else up


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [False, True])
def test_what_we_write_the_reference_reads(kind: str, tied: bool, tmp_path: Path) -> None:
    import transformers

    reference = build_reference(kind, seed=7, tied=tied)
    reference.save_pretrained(tmp_path / "theirs")
    ours = load_ours(tmp_path / "theirs")
    assert (ours.lm_head.weight is ours.model.language_model.embed_tokens.weight) == tied
    save_module(ours, tmp_path / "ours", max_shard_bytes=100_000)
    import json

    (tmp_path / "ours" / "config.json").write_text(json.dumps(ours.config.to_dict()))
    again = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path / "ours", dtype=torch.float32)
    left, right = reference.state_dict(), again.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("kind", KINDS)
def test_prefill_in_pieces_and_decode_are_the_whole(kind: str) -> None:
    _, ours = pair(kind)
    pictures: list[PatchGrid] = [(1, 4, 6)]
    ids, modality, positions, _ = ours_inputs(pictures, [])
    features = see(ours, pictures, [])
    assert features is not None
    with torch.no_grad():
        whole = ours(ids, positions, features=features, modality=modality)
        cache = ours.make_cache(1, 40)
        parts, seen = [], 0
        for start, end in ((0, 6), (6, 9), *((n, n + 1) for n in range(9, ids.shape[1]))):
            count = int((modality[:, start:end] != 0).sum())
            part = features[seen : seen + count] if count else None
            seen += count
            kinds = modality[:, start:end]
            parts.append(
                ours(
                    ids[:, start:end],
                    positions[..., start:end],
                    features=part,
                    modality=kinds,
                    cache=cache,
                    start=start,
                )
            )
    assert relative_error(torch.cat(parts, dim=1), whole) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_a_left_padded_batch_is_the_row_alone(kind: str) -> None:
    _, ours = pair(kind)
    requests: list[Media] = [([(1, 4, 6)], []), TEXT_ONLY, ([(1, 2, 2)], [(2, 2, 4)])]
    rows = [ours_inputs(*media, seed=number) for number, media in enumerate(requests)]
    ids, positions, keep = left_pad([row[0][0].tolist() for row in rows], [row[2][:, 0] for row in rows], PAD)
    length = ids.shape[1]
    modality = torch.stack([torch.nn.functional.pad(row[1][0], (length - row[1].shape[1], 0)) for row in rows])
    with torch.no_grad():
        found = [see(ours, *media) for media in requests]
        cache = ours.make_cache(3, length + 2)
        features = torch.cat([feature for feature in found if feature is not None])
        hidden = ours(ids, positions, features=features, modality=modality, cache=cache, mask=keep)
        token = torch.tensor([[11], [12], [13]])
        following = torch.tensor([row[3] for row in rows])[None, :, None].expand(3, -1, -1)
        longer = torch.nn.functional.pad(keep, (0, 1), value=True)
        decoded = ours(token, following, cache=cache, start=length, mask=longer)
        for number, (row, media) in enumerate(zip(rows, requests, strict=True)):
            alone = ours(row[0], row[2], features=see(ours, *media), modality=row[1])
            assert relative_error(hidden[number, keep[number]], alone[0]) < 1e-5
            ids_one = torch.cat([row[0], token[number : number + 1]], dim=1)
            places = torch.cat([row[2], torch.full((3, 1, 1), row[3])], dim=2)
            kinds = torch.nn.functional.pad(row[1], (0, 1))
            alone = ours(ids_one, places, features=see(ours, *media), modality=kinds)
            assert relative_error(decoded[number, -1], alone[0, -1]) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_and_films_share_a_prompt(kind: str) -> None:
    """The reference refuses this; given the embeddings we mean it to use, it computes what we compute."""
    reference, ours = pair(kind)
    pictures: list[PatchGrid] = [(1, 4, 6), (1, 2, 8)]
    videos: list[PatchGrid] = [(2, 4, 2)]
    ids, modality, positions, _ = ours_inputs(pictures, videos)
    inputs = reference_inputs(ids[0].tolist(), modality[0].tolist(), pictures, videos)
    with torch.no_grad():
        seen = [
            *reference.model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"]).pooler_output,
            *reference.model.get_video_features(inputs["pixel_values_videos"], inputs["video_grid_thw"]).pooler_output,
        ]
        embeddings = reference.model.language_model.embed_tokens(ids)
        embeddings[modality != 0] = torch.cat(seen)
        expected = reference.model.language_model(inputs_embeds=embeddings, position_ids=positions).last_hidden_state
        found = ours(ids, positions, features=see(ours, pictures, videos), modality=modality)
    assert relative_error(found, expected) < 1e-5


def test_features_must_be_as_many_as_their_places() -> None:
    _, ours = pair("dense")
    ids, modality, positions, _ = ours_inputs([(1, 4, 6)], [])
    with pytest.raises(ConfigError, match="6 places for what is seen, but 5 features"):
        ours(ids, positions, features=torch.zeros(5, 48), modality=modality)


@pytest.mark.parametrize("kind", KINDS)
def test_starting_from_scratch_leaves_nothing_unset(kind: str) -> None:
    model = GlmV(pair(kind)[1].config)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(float("nan"))
    init_weights(model)
    assert not any(tensor.isnan().any() for tensor in model.state_dict().values())
