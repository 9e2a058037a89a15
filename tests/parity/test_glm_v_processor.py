"""The GLM-V processor reads what the reference reads: text, ids, modality, patches, and the frames of a video.

Where the reference needs torchvision (frames as tensors, the 4.6 sampler), the comparison runs only if it is there;
`tests/unit/models/glm_v` holds the numbers it gave.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.models.glm_v.processor import GlmVProcessor, Video
from inkwash.models.glm_v.sampling import VideoStats, sample_by_length, sample_by_rate
from tests.parity.glm_v_folder import PLAIN, TAGGED, write_folder

SIZES = [(50, 70), (112, 140), (400, 300), (20, 900), (27, 27), (1000, 1400), (336, 336)]


def has_torchvision() -> bool:
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


needs_torchvision = pytest.mark.skipif(not has_torchvision(), reason="the reference's films need torchvision")


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def clip(frames: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (frames, 3, height, width), dtype=np.uint8))


def reference_processor(folder: Path, generation: str) -> Any:
    """The reference's processor with a tokenizer and settings but no pixel backends, which it need not have here."""
    import transformers
    from transformers.models.glm4v.processing_glm4v import Glm4vProcessor
    from transformers.models.glm46v.processing_glm46v import Glm46VProcessor

    cls = Glm46VProcessor if generation == "Glm46V" else Glm4vProcessor
    processor = object.__new__(cls)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    tokenizer.chat_template = (folder / "chat_template.jinja").read_text()
    processor.tokenizer = tokenizer
    processor.image_token = "<|image|>"
    processor.image_token_id = tokenizer.convert_tokens_to_ids("<|image|>")
    processor.video_start_id = tokenizer.convert_tokens_to_ids("<|begin_of_video|>")
    processor.video_end_id = tokenizer.convert_tokens_to_ids("<|end_of_video|>")

    class Settings:
        merge_size = 2

    processor.image_processor = processor.video_processor = Settings()
    return processor


def reference_text(processor: Any, messages: Any, pictures: list[Any], videos: list[Any], **options: Any) -> str:
    """The reference's template and its own replacements of placeholders, in order."""
    from transformers.video_utils import VideoMetadata

    text = processor.tokenizer.apply_chat_template(messages, tokenize=False, **options)
    images = {"image_grid_thw": torch.tensor(list(pictures)).reshape(-1, 3)}
    metadata = [VideoMetadata(total_num_frames=1, fps=fps, frames_indices=list(indices)) for _, indices, fps in videos]
    videos = {"video_grid_thw": torch.tensor([f[0] for f in videos]).reshape(-1, 3), "video_metadata": metadata}
    shown = text.replace("<|image|>", "\0i").replace("<|video|>", "\0v")
    for number in range(len(pictures)):
        shown = shown.replace("\0i", processor.replace_image_token(images, number), 1)
    for number in range(len(videos)):
        shown = shown.replace("\0v", processor.replace_video_token(videos, number), 1)
    return shown


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pictures_are_the_reference_patches(height: int, width: int, tmp_path: Path) -> None:
    from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil

    ours = GlmVProcessor.from_folder(write_folder(tmp_path)).pictures
    picture = noise(height, width)
    expected = Glm4vImageProcessorPil()(images=[picture], return_tensors="pt")
    patches, grid = ours.picture(picture)
    assert [list(grid)] == expected["image_grid_thw"].tolist()
    assert torch.equal(patches, expected["pixel_values"])


def test_sizes_are_the_reference_sizes(tmp_path: Path) -> None:
    from transformers.models.glm4v.image_processing_pil_glm4v import smart_resize

    config = GlmVProcessor.from_folder(write_folder(tmp_path)).videos
    rng = random.Random(0)
    for _ in range(500):
        frames, height, width = rng.randint(2, 700), rng.randint(1, 4000), rng.randint(20, 4000)
        try:
            expected = smart_resize(frames, height, width, 2, 28, config.shortest_edge, config.longest_edge)
        except ValueError:
            with pytest.raises(Exception, match=r"longer than 200:1"):
                config.resized(frames, height, width)
            continue
        assert config.resized(frames, height, width) == expected


def test_frames_by_rate_are_the_reference_frames() -> None:
    from transformers.models.glm4v.video_processing_glm4v import Glm4vVideoProcessor
    from transformers.video_utils import VideoMetadata

    reference = object.__new__(Glm4vVideoProcessor)
    rng = random.Random(1)
    for _ in range(300):
        frames, fps = rng.choice([1, 2, 3, 41, rng.randint(1, 9000)]), rng.choice([1, 12.5, 23.976, 25, 29.97, 60])
        duration, rate = rng.choice([None, frames / fps]), rng.choice([0.5, 1, 2, 3])
        metadata = VideoMetadata(total_num_frames=frames, fps=fps, duration=duration)
        expected = reference.sample_frames(metadata, fps=rate).tolist()
        assert sample_by_rate(VideoStats(frames=frames, fps=fps, duration=duration), fps=rate) == expected


@needs_torchvision
def test_frames_by_length_are_the_reference_frames() -> None:
    from transformers.models.glm46v.video_processing_glm46v import Glm46VVideoProcessor
    from transformers.video_utils import VideoMetadata

    reference = Glm46VVideoProcessor()
    rng = random.Random(2)
    for _ in range(300):
        frames, fps = rng.choice([41, 300, rng.randint(30, 90_000)]), rng.choice([5, 12.5, 23.976, 25, 29.97, 60])
        duration = rng.choice([None, frames / fps])
        metadata = VideoMetadata(total_num_frames=frames, fps=fps, duration=duration)
        expected = reference.sample_frames(metadata).tolist()
        found = sample_by_length(VideoStats(frames=frames, fps=fps, duration=duration))
        assert found == (expected or [0, 0]), "of a film below a sixth of a second the reference takes no frame at all"


@needs_torchvision
@pytest.mark.parametrize("shape", [(4, 50, 70), (3, 112, 140), (2, 90, 33), (5, 131, 77), (6, 200, 300)])
def test_films_are_the_reference_patches(shape: tuple[int, int, int], tmp_path: Path) -> None:
    from transformers.models.glm4v.video_processing_glm4v import Glm4vVideoProcessor

    frames = clip(*shape)
    expected = Glm4vVideoProcessor()(videos=[frames], return_tensors="pt", do_sample_frames=False)
    patches, grid = GlmVProcessor.from_folder(write_folder(tmp_path)).videos.video(frames)
    assert [list(grid)] == expected["video_grid_thw"].tolist()
    assert torch.equal(patches, expected["pixel_values_videos"])


@pytest.mark.parametrize("generation", ["Glm4v", "Glm46V"])
@pytest.mark.parametrize("template", [TAGGED, PLAIN])
def test_a_mixed_conversation_is_the_reference_text(generation: str, template: str, tmp_path: Path) -> None:
    """Pictures and videos in one request, over two turns: the reference's text, ids and modality."""
    ours = GlmVProcessor.from_folder(write_folder(tmp_path, template, generation=generation))
    reference = reference_processor(tmp_path, generation)
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "image"}, {"type": "video"}, {"type": "text", "text": "What? 什么"}]},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "And "}, {"type": "image"}]},
    ]
    videos = [Video(clip(4, 56, 84), (0, 15, 30, 47), 29.97), Video(clip(3, 84, 56, 1))]
    images = [noise(140, 112), noise(60, 60, 1)]
    prompt = ours.prepare(messages, images=images, videos=videos)
    image_grids, video_grids = [prompt.grids[0], prompt.grids[3]], [prompt.grids[1], prompt.grids[2]]
    facts = [(video_grids[0], (0, 15, 30, 47), 29.97), (video_grids[1], (0, 1, 2), None)]
    expected = reference_text(reference, messages, image_grids, facts, add_generation_prompt=True)
    assert prompt.text == expected
    ids = reference.tokenizer(expected, add_special_tokens=False)["input_ids"]
    assert prompt.ids.tolist() == ids
    assert prompt.modality.tolist() == reference.create_mm_token_type_ids([ids])[0]
    assert prompt.patches is not None
    parts = [ours.pictures.picture(images[0]), ours.videos.video(videos[0].frames)]
    assert torch.equal(prompt.patches[: len(parts[0][0]) + len(parts[1][0])], torch.cat([part[0] for part in parts]))
    assert prompt.positions.shape == (3, len(ids)) and prompt.next_position < len(ids)
    assert prompt.text.count("1.0 seconds" if generation == "Glm46V" else "<|end_of_image|>1") == 1
