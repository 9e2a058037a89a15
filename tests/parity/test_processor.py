"""Token ids, grids, pixels and quoted texts against the reference processor and pipeline."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inkwash.core.errors import RequestError, WeightsError
from inkwash.models.glm_image.processor import GlmImageProcessor, PictureConfig, glyph_texts, preview_grid

PROMPTS = [
    'A poster that says "HELLO WORLD"',
    "一张海报，上面写着“你好”，下面有三个红色的圆。",
    "  two  spaces,\ttabs\nand a new line 🎈 — naïve  ",
    "<|user|> text that looks like control tokens <sop>3 3<eop>",
    "1234567890 " * 20,
]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def ours(tiny_folder: Path) -> GlmImageProcessor:
    return GlmImageProcessor.from_folder(tiny_folder / "processor")


@pytest.fixture(scope="module")
def theirs(tiny_folder: Path) -> Any:
    import transformers

    return transformers.GlmImageProcessor.from_pretrained(tiny_folder / "processor")


def reference_inputs(processor: Any, prompt: str, height: int, width: int, images: list[Image.Image]) -> Any:
    content = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": prompt}]
    return processor.apply_chat_template(
        [[{"role": "user", "content": content}]],
        tokenize=True,
        target_h=height,
        target_w=width,
        return_dict=True,
        return_tensors="pt",
    )


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(("height", "width"), [(1024, 1024), (1152, 768), (64, 256), (512, 128)])
def test_text_to_image_ids_and_grids(
    ours: GlmImageProcessor, theirs: Any, prompt: str, height: int, width: int
) -> None:
    expected = reference_inputs(theirs, prompt, height, width, [])
    got = ours.prepare(prompt, height, width)
    assert got.ids.tolist() == expected["input_ids"][0].tolist()
    assert [[1, *grid] for grid in got.grids] == expected["image_grid_thw"].tolist()


@pytest.mark.parametrize(
    "sizes", [[(512, 512)], [(130, 200), (333, 100), (64, 64)], [(1000, 251), (3000, 2000)], [(31, 29), (16, 64)]]
)
def test_image_to_image_ids_grids_and_pixels(
    ours: GlmImageProcessor, theirs: Any, sizes: list[tuple[int, int]]
) -> None:
    images = [noise(*size, seed=number) for number, size in enumerate(sizes)]
    expected = reference_inputs(theirs, "Make it blue", 160, 96, images)
    got = ours.prepare("Make it blue", 160, 96, images)
    assert got.preview is None
    assert got.ids.tolist() == expected["input_ids"][0].tolist()
    assert [[1, *grid] for grid in got.grids] == expected["image_grid_thw"].tolist()
    patches = expected["pixel_values"].view(-1, 3, 16, 16)
    at = 0
    for reference in got.references:
        rows, columns = reference.grid
        cut = reference.pixels.view(3, rows, 16, columns, 16).permute(1, 3, 0, 2, 4).flatten(0, 1)
        assert torch.equal(cut, patches[at : at + rows * columns])
        at += rows * columns
    assert at == len(patches)


@settings(max_examples=300, deadline=None)
@given(st.integers(16, 5000), st.integers(16, 5000))
def test_grid_of_a_reference_of_any_size(height: int, width: int) -> None:
    from transformers.models.glm_image.image_processing_pil_glm_image import smart_resize

    config = picture_config()
    if max(height, width) > 4 * min(height, width):
        with pytest.raises(RequestError, match="aspect"):
            config.grid(height, width)
        return
    rows, columns = smart_resize(height, width, factor=16, min_pixels=512 * 512, max_pixels=2048 * 2048)
    assert config.grid(height, width) == (rows // 16, columns // 16)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 15), st.integers(1, 15))
def test_pictures_too_small_for_the_reference_keep_their_shape(height: int, width: int) -> None:
    if max(height, width) <= 4 * min(height, width):
        rows, columns = picture_config().grid(height, width)
        assert min(rows, columns) == 16
        assert abs(rows / columns - height / width) < 0.1 * height / width


def test_reference_pixels_for_the_vae_lie_on_the_same_grid(ours: GlmImageProcessor) -> None:
    for width, height in [(530, 530), (300, 300), (1000, 600), (97, 341), (512, 512)]:
        image = noise(width, height)
        reference = ours.reference(image)
        rows, columns = reference.grid
        assert reference.pixels.shape == (3, rows * 16, columns * 16)
        assert reference.picture.shape == (3, rows * 32, columns * 32)
        assert -1 <= reference.picture.min() < reference.picture.max() <= 1
    same = ours.reference(image).picture  # 512x512 is its own size: nothing is resampled
    assert torch.equal(((same + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0), torch.from_numpy(np.array(image)))


def test_preview_grids() -> None:
    assert preview_grid(32, 32) == (16, 16)
    assert preview_grid(36, 24) == (19, 13)
    assert preview_grid(8, 32) == (8, 32)


def test_control_tokens_in_a_prompt_are_refused(ours: GlmImageProcessor) -> None:
    with pytest.raises(RequestError, match="control token"):
        ours.prepare("a <|image|> b", 64, 64)


def test_folder_is_written_back_as_it_was(ours: GlmImageProcessor, tmp_path: Path, tiny_folder: Path) -> None:
    ours.save(tmp_path / "processor")
    again = GlmImageProcessor.from_folder(tmp_path / "processor")
    assert again.files == ours.files and again.special == ours.special
    for name, content in ours.files.items():
        assert (tiny_folder / "processor" / name).read_bytes() == content


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
def test_missing_or_damaged_file_is_named(ours: GlmImageProcessor, tmp_path: Path, name: str) -> None:
    ours.save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(WeightsError, match=name):
        GlmImageProcessor.from_folder(tmp_path)
    (tmp_path / name).write_text("{%" if name.endswith("jinja") else "{")
    with pytest.raises(WeightsError, match="template" if name.endswith("jinja") else name):
        GlmImageProcessor.from_folder(tmp_path).render("x")


WORDS = st.text(string.ascii_letters + string.digits + " .,!?äß你好", max_size=12)
MARKS = st.sampled_from(["''", "“”", '""', "「」"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(WORDS, MARKS, WORDS), max_size=5))
def test_quoted_texts_of_well_formed_prompts(parts: list[tuple[str, str, str]]) -> None:
    from diffusers import GlmImagePipeline

    prompt = "".join(f"{between} {marks[0]}{quoted}{marks[1]} " for between, marks, quoted in parts)
    assert glyph_texts(prompt) == GlmImagePipeline.get_glyph_texts(None, prompt)[0]


CONTRACTIONS = st.sampled_from(["it's", "don't", "the dogs' bowl", "we're", "o'clock", "rock'n'roll", "James' hat"])


@settings(max_examples=200, deadline=None)
@given(st.lists(CONTRACTIONS, min_size=2, max_size=6), st.text(string.ascii_letters, min_size=1, max_size=8))
def test_apostrophes_quote_nothing(words: list[str], quoted: str) -> None:
    from diffusers import GlmImagePipeline

    prompt = " and ".join(words)
    assert glyph_texts(prompt) == []
    assert GlmImagePipeline.get_glyph_texts(None, prompt)[0] != []  # the reference draws what stands between them
    assert glyph_texts(f"{prompt} say '{quoted}' and {prompt}") == [quoted]


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("'it's late' and \"don't\"", ["it's late", "don't"]),
        ("写着'你好'的海报和'再见'", ["你好", "再见"]),
        ("the '90s called: 'HELLO'", ["HELLO"]),
        ("a sign 'A','B' and (\"C\")", ["A", "B", "C"]),
        ("“curly” first? 'no' 「角」", ["no", "curly", "角"]),
        ("an open 'quotation", []),
        ("", []),
    ],
)
def test_quoted_texts(prompt: str, texts: list[str]) -> None:
    assert glyph_texts(prompt) == texts


def picture_config() -> PictureConfig:
    return PictureConfig(
        patch_size=16,
        merge_size=1,
        shortest_edge=512 * 512,
        longest_edge=2048 * 2048,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
    )
