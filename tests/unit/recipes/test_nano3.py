"""The third edition's carry-over: deeper networks that begin with the same functions, and prompts as they are read."""

from __future__ import annotations

import random
from pathlib import Path

import torch

from inkwash.core.types import Size
from inkwash.data.plans import PlanBatches
from inkwash.data.scenes import LabelledScenes, Phase, PictureBatches, card_prompt, training_scene
from inkwash.engine.notes import find_notes
from inkwash.models.glm_image.quotes import quoted
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.models.registry import bundled_folder
from inkwash.recipes import nano
from inkwash.recipes.carry_over import add_looks, deepened
from inkwash.recipes.trained import finished
from inkwash.scenes.card_meanings import card_labels
from inkwash.train.checkpoint import write_result
from inkwash.train.decoder import FrozenParts
from inkwash.train.encode_in_worker import CanonicalPrompts

PHASES = (Phase(first=0, batch=4, canvases=((256, 256),)),)


def test_added_layers_change_nothing_at_first() -> None:
    old = load_pipeline_parts(bundled_folder("nano"))
    ar_layers, decoder_layers = old.ar.config.text_config.num_hidden_layers + 2, old.decoder.config.num_layers + 2
    new = deepened(old, ar_layers=ar_layers, decoder_layers=decoder_layers)
    ids = torch.randint(0, 8000, (1, 24), generator=torch.Generator().manual_seed(0))
    positions = torch.arange(24).expand(3, 1, 24)
    with torch.no_grad():
        was, now = old.ar.float()(ids, positions), new.ar.float()(ids, positions)
        torch.testing.assert_close(now, was, rtol=1e-4, atol=1e-4)
    assert new.ar.config.text_config.num_hidden_layers == ar_layers
    assert new.decoder.config.num_layers == decoder_layers
    inputs = {
        "latents": torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(1)),
        "glyphs": torch.randn(1, 5, 128, generator=torch.Generator().manual_seed(2)),
        "prior_ids": ids.new_zeros((1, 64)),
        "timestep": torch.tensor([500.0]),
        "target_size": torch.tensor([[128.0, 128.0]]),
        "crop": torch.zeros(1, 2),
    }
    with torch.no_grad():
        torch.testing.assert_close(new.decoder.float()(**inputs), old.decoder.float()(**inputs), rtol=1e-4, atol=1e-4)


def test_batches_of_cards_are_a_function_of_the_step_and_complete() -> None:
    plans = PlanBatches(seed=1, phases=PHASES, preview_from=0, edits=0.5, level="card", chinese=0.3)
    for step in range(6):
        one, two = plans(step), plans(step)
        assert one["prompts"] == two["prompts"] and (one["half"] == two["half"]).all()
        assert len(one["prompts"]) == len(one["half"])
    pictures = PictureBatches(seed=1, phases=PHASES, level="card", edits_from=0, edits=0.5, chinese=0.3)
    assert {"sources" in pictures(step) for step in range(8)} == {True, False}
    labelled = LabelledScenes(seed=1, batch=3, level="card", canvases=((256, 256),))(0)
    assert set(card_labels()) < set(labelled) and labelled["meaning"].shape == (3, 64)


def test_prompts_reach_the_generator_with_straight_marks() -> None:
    plans = PlanBatches(seed=3, phases=PHASES, preview_from=0, edits=0.0, level="card", chinese=0.5)
    batch = [CanonicalPrompts(make=plans)(step) for step in range(12)]
    raw = [plans(step) for step in range(12)]
    assert any(a["prompts"] != b["prompts"] for a, b in zip(batch, raw, strict=True))
    for one in batch:
        for prompt in one["prompts"]:
            assert {text.mark for text in quoted(prompt).texts} <= {'"'}


def test_the_limits_know_what_training_prompts_ask_for() -> None:
    limits = nano.THIRD.drawing.limits
    assert limits is not None and limits.lettering.wraps
    for i in range(60):
        rng = random.Random(i)
        card = training_scene(rng, 384, 384, "card", 0.2).card
        assert card is not None
        prompt = nano.THIRD.drawing.prompt(card_prompt(card, rng))
        kinds = {note.kind for note in find_notes(prompt, Size(384, 384), (), limits, canonical=True)}
        # Noise names what cannot be drawn, some texts stand without marks, "A / B" is one long text.
        assert kinds <= {"unknown", "unquoted", "long", "empty", "nothing"}, (kinds, prompt)
    (told,) = find_notes('A card with a giraffe that says "Hi"', Size(384, 384), (), limits, canonical=True)
    assert told.kind == "unknown" and "giraffe" in told.sentence()
    assert not find_notes('A card with a cat that says "Hi"', Size(384, 384), (), limits, canonical=True)


def test_a_stored_tokenizer_comes_back(tmp_path: Path) -> None:
    state = {"vision": {"a.weight": torch.randn(3, 4)}, "vq": {"quantize.embedding.weight": torch.randn(5, 2)}}
    (tmp_path / "one" / "tokenizer").mkdir(parents=True)
    write_result(tmp_path / "one" / "tokenizer" / "tokenizer.pt", state)
    file = nano.nano3_tokenizer_store(tmp_path / "one", tmp_path / "stored" / "tokenizer.safetensors")
    nano.nano3_tokenizer_stored(tmp_path / "two", file)
    back = finished(tmp_path / "two" / "tokenizer" / "tokenizer.pt", "nano3-tokenizer")
    for part, tensors in state.items():
        assert back[part].keys() == tensors.keys()
        for name, value in tensors.items():
            torch.testing.assert_close(back[part][name], value, rtol=1e-3, atol=1e-3)


def test_codes_begin_with_what_their_cells_look_like() -> None:
    """Rows of codes that were met move by their mean latents, turned and scaled: the same angles between them."""
    parts = load_pipeline_parts(bundled_folder("nano"))
    table = parts.decoder.prior_token_embedding.weight
    before = table.detach().clone()
    data = nano.looks_data(batch=2)
    counts = add_looks(parts, data, steps=1)
    moved = (table.detach() - before).float()
    met = counts > 0
    assert 8 < int(met.sum()) < len(table) and not moved[~met].any() and moved[met].any(1).all()
    frozen = FrozenParts(
        vae=parts.vae, vision=parts.ar.model.visual, vq=parts.ar.model.vqmodel, scheduler=parts.scheduler
    )
    batch = data(0)
    latents, ids = frozen.latents(torch.as_tensor(batch["pixels"])), frozen.tokens(torch.as_tensor(batch["half"]))
    assert counts.sum() == ids.numel()
    mean = torch.stack(
        [latents[:, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] for y in range(ids.shape[1]) for x in range(ids.shape[2])],
        dim=1,
    ).flatten(2)
    flat, codes = mean.flatten(0, 1), ids.flatten()
    looks = torch.stack([flat[codes == code].mean(0) for code in met.nonzero().flatten()]) - flat.mean(0)
    found = torch.nn.functional.normalize(moved[met], dim=1)
    expected = torch.nn.functional.normalize(looks, dim=1)
    torch.testing.assert_close(found @ found.T, expected @ expected.T, rtol=0, atol=0.05)
