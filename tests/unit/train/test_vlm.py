"""Training rows of the seeing model: each conversation is exactly what the pipeline would see, alone."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.data.questions import Dialogue, DialogueTurn, QuestionBatches, label_sizes, question_lines
from inkwash.models.glm_v import model as glm_v
from inkwash.models.glm_v.model import GlmV
from inkwash.models.glm_v.processor import GlmVProcessor
from inkwash.models.glm_v.tokenizer_files import train_bpe, write_processor_files
from inkwash.nn.attention import attention
from inkwash.recipes import nano_v
from inkwash.train.vlm import VLMTraining, cell_loss, train_vlm
from inkwash.train.vlm_guides import Pointer, cells_of, gaze, likeness, middle_of
from inkwash.train.vlm_rows import build_rows, dialogue_texts, picture_patches, segment_mask

CPU = torch.device("cpu")


def turn(question: str, answer: str) -> DialogueTurn:
    return DialogueTurn(kind="read", question=question, thought="Row 1.", answer=answer)


TALKS = [
    Dialogue(turns=(turn("What does it say?", "HELLO\nWORLD"),)),
    Dialogue(turns=(turn("First?", "yes"), turn("How many?", "2")), thinking=False),
    Dialogue(turns=(turn("First?", "yes"), turn("How many?", "2"))),
]


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> GlmVProcessor:
    folder = tmp_path_factory.mktemp("nano-v")
    bpe = train_bpe(question_lines(random.Random(0), 200), vocab_size=512)
    write_processor_files(folder, bpe, patch_size=16, merge_size=2, min_pixels=64**2, max_pixels=512**2)
    return GlmVProcessor.from_folder(folder)


def test_a_row_is_the_prompt_of_the_pipeline_and_the_answer(processor: GlmVProcessor) -> None:
    image = Image.new("RGB", (128, 64), "red")
    rows = build_rows(processor, [TALKS], (4, 8), pad_id=0)
    picture = rows.segments[0] == 0
    for number, talk in enumerate(TALKS, 1):
        messages: list[dict[str, object]] = []
        for place, one in enumerate(talk.turns):
            seen = [{"type": "image"}] if place == 0 else []
            messages.append({"role": "user", "content": [*seen, {"type": "text", "text": one.question}]})
            messages.append({"role": "assistant", "content": one.answer})
        prompt = processor.prepare(messages[:-1], images=[image], enable_thinking=None if talk.thinking else False)
        said = processor.encode(dialogue_texts(talk)[1])
        here = picture | (rows.segments[0] == number)
        assert rows.ids[0, here].tolist() == prompt.ids.tolist() + said
        count = len(prompt.ids)
        assert rows.positions[:, 0, here][:, :count].equal(prompt.positions)
        assert rows.positions[0, 0, here][count] == prompt.next_position
        assert rows.modality[0, here][:count].equal(prompt.modality)
        weight = rows.weight[0, here]
        assert not weight[: count - 1].any() and weight[count - 1 : -1].all() and weight[-1] == 0
    last = processor.decode(rows.ids[0, rows.segments[0] == 3].tolist())
    assert last.endswith("<think>Row 1.</think>\n2<|user|>") and "<think></think>\nyes<|user|>" in last


def test_a_pointer_is_held_to_the_place_that_a_conversation_names(processor: GlmVProcessor) -> None:
    thought = '"Go" is in rows 2 to 2, columns 3 to 4.'
    asks = DialogueTurn(kind="spell", question="What stands in rows 1 to 2, columns 1 to 1?", thought="", answer="A")
    talks = [
        Dialogue(turns=(DialogueTurn(kind="find", question="Where?", thought=thought, answer="Here."),)),
        TALKS[0],
        Dialogue(turns=(asks,), thinking=False),
    ]
    rows = build_rows(processor, [talks], (4, 8), pad_id=0)
    assert rows.places == [[(1, 1, 2, 3), None, (0, 1, 0, 0)]]
    assert cells_of((1, 1, 2, 3), 8, 4).tolist() == [False] * 6 + [True] * 2
    with pytest.raises(ConfigError, match="rows 3 to 3, columns 1 to 1 are not in the picture"):
        cells_of((2, 2, 0, 0), 8, 4)
    pointer = Pointer(16)
    with torch.no_grad():
        for projection in (pointer.query, pointer.key):
            projection.weight.copy_(torch.eye(64, 16))
            projection.bias.zero_()
    hidden = torch.zeros(1, rows.ids.shape[1], 16)
    cells = hidden[0, rows.modality[0] != 0]
    cells[6:8, 0], cells[[0, 4], 1] = 100.0, 100.0  # what marks the cells of either place
    hidden[0, rows.modality[0] != 0] = cells
    saying = rows.weight[0] > 0
    hidden[0, saying & (rows.segments[0] == 1), 0] = 100.0
    hidden[0, saying & (rows.segments[0] == 3), 1] = 100.0
    loss, right = pointer(hidden, rows, 4)
    assert loss < 1e-3 and right == {"pointer": 1.0}
    loss, right = pointer(hidden.flip(-1).roll(1, 1), rows, 4)
    assert loss > 1.0 and right["pointer"] < 1.0
    silent = build_rows(processor, [TALKS], (4, 8), pad_id=0)
    loss, right = pointer(torch.zeros(1, silent.ids.shape[1], 16), silent, 4)
    assert loss.item() == 0.0 and right == {}


def test_the_gaze_is_the_attention_of_the_first_head(processor: GlmVProcessor) -> None:
    """The loss is that of the attention weights which the network itself computes."""
    torch.manual_seed(0)
    model = nano_v.new_model(processor).eval()
    thought = '"Go" is in rows 2 to 2, columns 3 to 4.'
    talks = [TALKS[0], Dialogue(turns=(DialogueTurn(kind="find", question="Where?", thought=thought, answer="Here."),))]
    rows = build_rows(processor, [talks], (4, 8), pad_id=0)
    pixels = torch.randint(0, 255, (1, 64, 128, 3), dtype=torch.uint8)
    features = model.see(picture_patches(pixels, processor.pictures), [(1, 4, 8)])
    weights: list[torch.Tensor] = []

    def shown(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, mask: torch.Tensor, causal: bool) -> torch.Tensor:
        scores = q @ k.repeat_interleave(q.shape[1] // k.shape[1], 1).mT * q.shape[-1] ** -0.5
        weights.append(scores.masked_fill(~mask, -9e9).softmax(-1).detach())
        return attention(q, k, v, mask=mask, causal=causal)

    with middle_of(model) as passed, patch("inkwash.models.glm.decoder.attention", shown):
        model(rows.ids, rows.positions, features=features, modality=rows.modality, mask=segment_mask(rows.segments))
    loss, found = gaze(passed, rows, 4)
    layer = len(model.model.language_model.layers) // 2 + 1
    cells = torch.nonzero(rows.modality[0] != 0).flatten()[6:8]
    saying = (rows.weight[0] > 0) & (rows.segments[0] == 2)
    share = weights[layer][0, 0][saying][:, cells].sum(-1)
    torch.testing.assert_close(loss.detach(), -share.log().mean(), rtol=1e-4, atol=1e-5)
    assert found["gaze"] == pytest.approx(float(share.mean()), rel=1e-4)
    nothing, found = gaze(passed, build_rows(processor, [TALKS], (4, 8), pad_id=0), 4)
    assert nothing.item() == 0.0 and found == {}


def test_features_are_held_to_the_embeddings_of_the_letters_that_cells_show() -> None:
    embeddings = torch.eye(8)
    tokens = {"left": [5, 2, 7], "right": [5, 2, 7]}
    truth = {"left": torch.tensor([[1, 3, 0, -100]]), "right": torch.tensor([[0, 2, 0, -100]])}
    features = torch.stack([3 * embeddings[5], embeddings[7] + embeddings[2], embeddings[0], embeddings[5]])[None]
    loss, right = likeness(features, embeddings, truth, tokens)
    two = torch.log_softmax(16 * torch.tensor([0.0, 0.5**0.5, 0.5**0.5]), 0)
    one = torch.log_softmax(16 * torch.tensor([1.0, 0.0, 0.0]), 0)
    torch.testing.assert_close(loss, -(one[0] + two[1] + two[2]) / 3)
    assert right == {"alike": 1.0}
    assert likeness(features.roll(1, 1), embeddings, truth, tokens)[1]["alike"] < 1.0
    loss, right = likeness(features, embeddings, {name: torch.zeros_like(each) for name, each in truth.items()}, tokens)
    assert loss.item() == 0.0 and right == {}


def test_a_conversation_does_not_see_its_neighbours(processor: GlmVProcessor) -> None:
    torch.manual_seed(0)
    model = nano_v.new_model(processor).eval()
    pixels = torch.randint(0, 255, (1, 64, 128, 3), dtype=torch.uint8)
    features = model.see(picture_patches(pixels, processor.pictures), [(1, 4, 8)])

    def hidden(talks: list[Dialogue], number: int) -> torch.Tensor:
        rows = build_rows(processor, [talks], (4, 8), pad_id=0)
        out = model(
            rows.ids, rows.positions, features=features, modality=rows.modality, mask=segment_mask(rows.segments)
        )
        return out[0, rows.segments[0] == number]

    with torch.no_grad():
        torch.testing.assert_close(hidden(TALKS, 3), hidden(TALKS[2:], 1), atol=1e-4, rtol=1e-4)


def test_patches_are_those_of_the_processor(processor: GlmVProcessor) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 96, 3), dtype=np.uint8)
    ours = picture_patches(torch.from_numpy(pixels), processor.pictures)
    theirs = torch.cat([processor.pictures.picture(Image.fromarray(one))[0] for one in pixels])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_run_that_was_broken_off_ends_in_the_same_weights(processor: GlmVProcessor, tmp_path: Path) -> None:
    make = QuestionBatches(seed=1, batch=1, dialogues=1, canvases=((128, 128),), talk_from=1)

    def run(folder: Path, stop: int = 9) -> GlmV | None:
        torch.manual_seed(0)
        full = nano_v.config(processor)
        text = dataclasses.replace(full.text_config, num_hidden_layers=1)
        vision = dataclasses.replace(full.vision_config, depth=1)
        model = GlmV(dataclasses.replace(full, text_config=text, vision_config=vision))
        glm_v.init_weights(model)
        config = VLMTraining(steps=3, language_from=1, workers=0, save_every_s=0.0)
        try:
            train_vlm(model, processor, label_sizes(), _Stop(make, stop), folder, config, device=CPU)
        except KeyboardInterrupt:
            return None
        return model

    whole = run(tmp_path / "whole")
    assert run(tmp_path / "broken", stop=2) is None
    resumed = run(tmp_path / "broken")
    assert whole is not None and resumed is not None
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    assert not torch.equal(whole.lm_head.weight, GlmV(whole.config).lm_head.weight)


def test_labels_of_every_cell_count_alike_and_others_where_something_is_there() -> None:
    classes = {"ground": 3, "thing": 3, "color": 3}
    truth = {
        "ground": torch.tensor([[0, 0, 1, 2]]),
        "thing": torch.tensor([[0, 0, 0, 2]]),
        "color": torch.tensor([[2, 2, 0, 2]]),  # the last class is none, the first a colour
    }
    logits = {
        name: torch.randn(1, 4, size, generator=torch.Generator().manual_seed(3)) for name, size in classes.items()
    }
    total, right = cell_loss(logits, truth, everywhere=("ground",))
    each = {name: -logits[name].log_softmax(-1)[0, torch.arange(4), truth[name][0]] for name in classes}
    thing = each["thing"][3] + 0.2 * each["thing"][:3].mean()
    color = each["color"][2] + 0.2 * each["color"][[0, 1, 3]].mean()
    torch.testing.assert_close(total, each["ground"].mean() + thing + color)
    assert set(right) == {"thing"} and right["thing"] == float(logits["thing"][0, 3].argmax() == 2)


class _Stop:
    """Breaks off at a step."""

    def __init__(self, make: QuestionBatches, step: int) -> None:
        self.make, self.step = make, step

    def __call__(self, step: int) -> dict[str, object]:
        if step >= self.step:
            raise KeyboardInterrupt
        return self.make(step)
