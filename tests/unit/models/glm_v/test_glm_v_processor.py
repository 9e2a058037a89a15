"""The processor's own rules: what it refuses, forgets and writes back, and the frames of known videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from inkwash.core.errors import ConfigError, InkwashError, RequestError, WeightsError
from inkwash.models.glm_v.processor import GlmVProcessor, Video
from inkwash.models.glm_v.sampling import VideoStats, sample_by_length, sample_by_rate, timestamps
from tests.parity.glm_v_folder import PLAIN, TAGGED, write_folder

PICTURE = Image.new("RGB", (84, 56), "red")


@pytest.fixture
def plain(tmp_path: Path) -> GlmVProcessor:
    return GlmVProcessor.from_folder(write_folder(tmp_path / "plain", PLAIN))


@pytest.fixture
def tagged(tmp_path: Path) -> GlmVProcessor:
    return GlmVProcessor.from_folder(write_folder(tmp_path / "tagged", TAGGED))


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def test_text_alone_needs_no_pictures(plain: GlmVProcessor) -> None:
    prompt = plain.prepare([{"role": "user", "content": "Hi"}])
    assert prompt.patches is None and prompt.grids == ()
    assert not prompt.modality.any() and prompt.next_position == len(prompt.ids)
    assert plain.decode(prompt.ids.tolist()) == prompt.text == "[gMASK]<sop><|user|>\nHi<|assistant|>"


def test_a_picture_takes_its_tokens(plain: GlmVProcessor) -> None:
    prompt = plain.prepare(user({"type": "image_url", "image_url": {"url": "data:"}}, "What?"), images=[PICTURE])
    assert prompt.grids == (plain.pictures.grid(2, 56, 84),)
    assert int((prompt.modality == 1).sum()) == plain.pictures.tokens(prompt.grids[0]) == prompt.patches.shape[0] // 4  # type: ignore[union-attr]


def test_the_thinking_switch_belongs_to_templates_that_have_it(plain: GlmVProcessor, tagged: GlmVProcessor) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    assert (plain.style, tagged.style) == ("plain", "tagged")
    assert "/nothink" in plain.render(messages, enable_thinking=False)
    assert plain.render(messages, enable_thinking=True) == plain.render(messages)
    with pytest.raises(RequestError, match="no switch for its thoughts"):
        tagged.render(messages, enable_thinking=False)


@pytest.mark.parametrize("as_parts", [False, True])
def test_history_never_carries_thoughts_and_never_loses_html(
    plain: GlmVProcessor, tagged: GlmVProcessor, as_parts: bool
) -> None:
    said = "<think>secret</think>\n<answer><div>5 < 6</div></answer>"
    content = [{"type": "text", "text": said}] if as_parts else said
    messages = [{"role": "assistant", "content": content}, {"role": "user", "content": "And?"}]
    for processor in (plain, tagged):
        text = processor.render(messages)
        assert "secret" not in text and "<div>5 < 6</div>" in text


def test_arguments_of_calls_become_objects(plain: GlmVProcessor) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "zoom", "arguments": '{"times": 2}'}}
    text = plain.render([{"role": "assistant", "content": "", "tool_calls": [call]}], tools=[{"name": "放大"}])
    assert "<tool_call>zoom\ntimes=2</tool_call>" in text
    assert '{"name": "放大"}' in text
    call["function"]["arguments"] = "{times"  # type: ignore[index]
    with pytest.raises(RequestError, match="arguments of the tool call 'zoom' are not JSON"):
        plain.render([{"role": "assistant", "content": "", "tool_calls": [call]}])


@pytest.mark.parametrize(
    ("messages", "given", "words"),
    [
        (user({"type": "image"}), {}, "have 1 image parts, but 0 were given"),
        (user("x"), {"images": [PICTURE]}, "have 0 image parts, but 1 were given"),
        (user({"type": "video"}), {"images": []}, "have 1 video parts, but 0 were given"),
        (user("a <|image|> b"), {}, r"control token <\|image\|> outside"),
        (user({"type": "audio"}), {}, "type text, image or video, got 'audio'"),
        (user({"type": "video"}), {"videos": [Video([])]}, "frames of one size"),
        (user({"type": "video"}), {"videos": [Video([PICTURE, Image.new("RGB", (8, 8))])]}, "frames of one size"),
        (user({"type": "video"}), {"videos": [Video(torch.zeros(2, 3, 8, 8))]}, "8-bit RGB"),
        (user({"type": "video"}), {"videos": [Video([PICTURE] * 2, (0,), 2)]}, "2 frames but 1 frame numbers"),
        (user({"type": "image"}), {"images": [Image.new("RGB", (1, 900))]}, "longer than 200:1"),
        ([{"role": "weather", "content": "x"}], {}, "the role 'weather', but must have"),
    ],
)
def test_what_does_not_agree_is_refused(
    plain: GlmVProcessor, messages: list[dict[str, Any]], given: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        plain.prepare(messages, **given)


def test_a_film_of_one_frame_is_a_pair(plain: GlmVProcessor) -> None:
    prompt = plain.prepare(user({"type": "video"}), videos=[Video([PICTURE])])
    assert prompt.grids[0][0] == 1 and (prompt.modality == 2).any()


def test_the_budget_of_pixels_can_be_lowered(plain: GlmVProcessor) -> None:
    big = Image.new("RGB", (1400, 1400))
    full = plain.prepare(user({"type": "image"}), images=[big])
    small = plain.prepare(user({"type": "image"}), images=[big], max_pixels=2 * 280 * 280)
    assert full.grids == ((1, 100, 100),) and small.grids == ((1, 20, 20),)
    with pytest.raises(ConfigError, match="at least 12544"):
        plain.prepare(user({"type": "image"}), images=[big], max_pixels=5)


def test_released_sizes_of_pictures(plain: GlmVProcessor) -> None:
    sizes = {(4096, 4096): (2408, 2408), (336, 336): (336, 336)}
    assert {size: plain.pictures.resized(2, *size) for size in sizes} == sizes
    assert plain.pictures.tokens(plain.pictures.grid(2, 4096, 4096)) == 7396
    assert plain.videos.resized(600, 720, 1280) == (196, 364)


def test_frames_of_known_films() -> None:
    assert len(sample_by_rate(VideoStats(frames=600, fps=30, duration=20))) == 40
    assert len(sample_by_rate(VideoStats(frames=54_000, fps=30, duration=1800))) == 600
    assert sample_by_rate(VideoStats(frames=60, fps=30, duration=2)) == [0, 15, 30, 45]
    assert len(sample_by_length(VideoStats(frames=600, fps=30, duration=20))) == 120
    assert len(sample_by_length(VideoStats(frames=54_000, fps=30, duration=1800))) == 640
    assert sample_by_length(VideoStats(frames=50, fps=25, duration=2)) == [0, 5, 9, 13, 17, 21, 25, 30, 34, 38, 42, 46]
    assert sample_by_length(VideoStats(frames=2, fps=30, duration=0.07)) == [0, 0]
    assert timestamps([0, 15, 30, 47], 30) == [0.0, 1.0]


def test_rates_and_caps_can_be_asked_for() -> None:
    video = VideoStats(frames=600, fps=30, duration=20)
    assert len(sample_by_rate(video, fps=1)) == 20
    assert len(sample_by_length(video, fps=1)) == 20
    for sample in (sample_by_rate, sample_by_length):
        capped = sample(video, max_frames=7)
        assert len(capped) == 8 and capped[-2:] == [capped[-1]] * 2 and capped == sorted(capped)
        with pytest.raises(ConfigError, match="fps must be"):
            sample(video, fps=0)
        with pytest.raises(ConfigError, match="max_frames must be"):
            sample(video, max_frames=0)
    with pytest.raises(RequestError, match="cannot be sampled"):
        VideoStats(frames=0, fps=30)


def test_the_folder_is_written_back_as_it_was(plain: GlmVProcessor, tmp_path: Path) -> None:
    plain.save(tmp_path / "again")
    for file in (tmp_path / "plain").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    assert GlmVProcessor.from_folder(tmp_path / "again").pictures == plain.pictures


def test_settings_may_lie_in_one_file(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, generation="Glm46V")
    parts = {}
    for own, nested in (
        ("preprocessor_config.json", "image_processor"),
        ("video_preprocessor_config.json", "video_processor"),
    ):
        content = json.loads((folder / own).read_text())
        content.pop("processor_class")
        parts[nested] = content
        (folder / own).unlink()
    (folder / "processor_config.json").write_text(json.dumps({**parts, "processor_class": "Glm46VProcessor"}))
    assert GlmVProcessor.from_folder(folder).sampling.by_length


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tokenizer.json", None, "tokenizer.json is missing"),
        ("tokenizer.json", "{}", "is not a tokenizer"),
        ("chat_template.jinja", None, "chat_template.jinja is missing"),
        ("preprocessor_config.json", None, "preprocessor_config.json is missing"),
        ("preprocessor_config.json", "[", "not valid JSON"),
        ("preprocessor_config.json", "{}", "lacks 'patch_size'"),
    ],
)
def test_damage_gets_a_sentence(tmp_path: Path, name: str, content: str | None, words: str) -> None:
    folder = write_folder(tmp_path)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(InkwashError, match=words) as caught:
        GlmVProcessor.from_folder(folder)
    assert isinstance(caught.value, WeightsError | ConfigError)
