"""What the AR generator is trained on is what it will be given: ids, positions, previews, loss weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from inkwash.models.glm_image.ar import decode_positions, prompt_positions
from inkwash.models.glm_image.processor import GlmImageProcessor, preview_grid
from inkwash.models.glm_image.tokenizer_files import TokenLayout
from inkwash.train.ar import build_rows, preview_tokens
from tests.unit.train.conftest import CODES

LAYOUT = TokenLayout(codes=CODES)


def grids(batch: int, rows: int, columns: int, seed: int) -> torch.Tensor:
    return torch.randint(CODES, (batch, rows, columns), generator=torch.Generator().manual_seed(seed))


def rows_of(
    processor: GlmImageProcessor, prompts: list[str], target: torch.Tensor, sources: list[Any], preview: bool
) -> Any:
    return build_rows(
        processor.tokenizer,
        LAYOUT,
        prompts,
        target,
        sources,
        preview=preview,
        preview_weight=0.5,
        pad_id=CODES + 7,
    )


@pytest.mark.parametrize("references", [0, 1, 2])
def test_prompts_are_tokenised_as_in_use(processor: GlmImageProcessor, references: int) -> None:
    prompt = 'A poster that says "HELLO"'
    target = grids(1, 4, 8, 0)
    sources = [grids(1, 4, 4, i + 1) for i in range(references)]
    rows = rows_of(processor, [prompt], target, sources, preview=not references)
    pictures = [Image.new("RGB", (128, 128))] * references
    used = processor.prepare(prompt, 128, 256, pictures)
    ids = used.ids.clone()
    image_id = processor.tokenizer.token_to_id("<|image|>")
    if sources:
        ids[ids == image_id] = torch.cat([s[0].flatten() for s in sources])
    assert rows.ids[0, : len(ids)].tolist() == ids.tolist()
    plan = [used.target] if used.preview is None else [used.preview, used.target]
    source_grids = [r.grid for r in used.references]
    positions, begin = prompt_positions(
        used.ids, source_grids, image_start=LAYOUT.image_start, image_end=LAYOUT.image_end
    )
    expected = torch.cat([positions, decode_positions(begin, plan)], dim=1)
    assert torch.equal(rows.positions[:, 0, : expected.shape[1]], expected)


def test_the_loss_counts_the_plan_and_nothing_else(processor: GlmImageProcessor) -> None:
    prompts = ['"A"', 'A much longer prompt that says "HELLO"']
    target = grids(2, 4, 4, 0)
    rows = rows_of(processor, prompts, target, [], preview=True)
    count = 16 * 16 + 16 + 1
    for i in range(2):
        counted = rows.weight[i] > 0
        assert int(counted.sum()) == count
        predicted = rows.targets[i][counted]
        assert predicted[-17:-1].tolist() == target[i].flatten().tolist()
        assert int(predicted[-1]) == LAYOUT.image_end
        assert rows.weight[i][counted][:256].unique().tolist() == [0.5]
        assert rows.weight[i][counted][256:].unique().tolist() == [1.0]


def test_previews_show_the_target_on_a_larger_canvas() -> None:
    target = grids(2, 8, 8, 0)
    target[1, :5] = 3
    preview = preview_tokens(target, preview_grid(8, 8))
    assert preview.shape == (2, 16, 16)
    assert torch.equal(preview[:, :8, :8], target)
    assert preview[1, 8:].unique().tolist() == [3]
    assert preview[1, :, 8:].unique().tolist() == [3]
    assert torch.equal(preview_tokens(target, (4, 4)), target[:, ::2, ::2])


def test_what_an_edit_changes_can_count_more(processor: GlmImageProcessor) -> None:
    source = grids(2, 4, 4, 0)
    target = source.clone()
    target[1, 2, 1] = (target[1, 2, 1] + 1) % CODES
    rows = build_rows(
        processor.tokenizer,
        LAYOUT,
        ["Replace it", 'Change the words to "B"'],
        target,
        [grids(2, 4, 8, 1), source],
        preview=False,
        preview_weight=1.0,
        pad_id=CODES + 7,
        changed_weight=4.0,
    )
    assert rows.weight[0].max() == 1.0 and rows.weight[0].sum() == 17.0
    assert rows.weight[1].sum() == 20.0
    assert rows.targets[1][rows.weight[1] == 4.0].tolist() == [int(target[1, 2, 1])]
