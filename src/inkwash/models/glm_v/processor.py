"""From a conversation with pictures and videos to what the networks read: ids, modality, positions and patches.

Reads the tokenizer, the chat template and the pixel settings of a checkpoint. A placeholder of a picture becomes as
many tokens as it has features; one of a video becomes its frames with their seconds between them. Pictures and videos
may share a request: everything seen is kept in the order of the prompt, and `modality` says what each token is.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jinja2 import Template, TemplateError
from PIL import Image
from tokenizers import Tokenizer

from inkwash.core.errors import ConfigError, RequestError, WeightsError
from inkwash.models.glm_v.answer import Style
from inkwash.models.glm_v.messages import (
    Ability,
    Message,
    check_media,
    check_places,
    normal_messages,
    template_message,
)
from inkwash.models.glm_v.pixels import PixelConfig
from inkwash.models.glm_v.positions import PICTURE, VIDEO_FRAME, prompt_positions
from inkwash.models.glm_v.sampling import VideoStats, sample_by_length, sample_by_rate
from inkwash.models.glm_v.vision import PatchGrid
from inkwash.models.glm_v.vision_input import Picture, Video, VisionInput, VisionPrompt, picture_input, video_input
from inkwash.models.processor_files import (
    TEXT_FILES,
    compile_template,
    json_object,
    read_chat_template,
    read_files,
    read_tokenizer,
    special_tokens,
)

IMAGE, VIDEO = "<|image|>", "<|video|>"
BEGIN_IMAGE, END_IMAGE = "<|begin_of_image|>", "<|end_of_image|>"
BEGIN_VIDEO, END_VIDEO = "<|begin_of_video|>", "<|end_of_video|>"
_PIXEL_FILES = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, kw_only=True)
class VideoSampling:
    """How many frames of a video are looked at, and how their seconds are written."""

    by_length: bool  # the rule of 4.6; otherwise that of 4.1 and 4.5
    fps: float = 2.0
    max_duration: float = 300

    def choose(self, video: VideoStats, *, fps: float | None = None, max_frames: int | None = None) -> list[int]:
        """Frame numbers to decode; `fps` and `max_frames` replace the checkpoint's."""
        if self.by_length:
            return sample_by_length(video, fps=fps, max_frames=max_frames)
        rate = self.fps if fps is None else fps
        return sample_by_rate(video, fps=rate, max_duration=self.max_duration, max_frames=max_frames)

    def stamp(self, second: float) -> str:
        """What stands after a frame."""
        return f"{second:.1f} seconds" if self.by_length else str(int(second))


@dataclass(frozen=True)
class GlmVProcessor:
    """Tokenizer, chat template and pixel settings of one checkpoint."""

    tokenizer: Tokenizer
    chat_template: str
    special: dict[str, str]  # role -> token, such as pad_token
    pictures: PixelConfig
    videos: PixelConfig
    sampling: VideoSampling
    files: dict[str, bytes] = field(repr=False)  # the folder as it was read, so that it is written back unchanged

    @classmethod
    def from_folder(cls, folder: str | Path) -> GlmVProcessor:
        """Read a checkpoint's folder; a missing or damaged file raises `WeightsError`."""
        folder = Path(folder)
        files = read_files(folder, (*TEXT_FILES, *_PIXEL_FILES))
        pictures, picture_name = _settings(folder, files, "preprocessor_config.json", "image_processor")
        videos, video_name = _settings(folder, files, "video_preprocessor_config.json", "video_processor")
        keys = ("processor_class", "image_processor_type", "video_processor_type")
        classes = [str(part.get(key)) for part in (pictures, videos) for key in keys]
        processor = cls(
            tokenizer=read_tokenizer(folder, files),
            chat_template=read_chat_template(folder, files),
            special=special_tokens(folder, files),
            pictures=PixelConfig.from_dict(pictures, picture_name),
            videos=PixelConfig.from_dict(videos, video_name),
            sampling=VideoSampling(
                by_length=any(name.startswith("Glm46V") for name in classes),
                fps=videos.get("fps") or 2.0,
                max_duration=videos.get("max_duration") or 300,
            ),
            files=files,
        )
        for token in (IMAGE, BEGIN_IMAGE, END_IMAGE, BEGIN_VIDEO, END_VIDEO):
            processor.token_id(token)
        return processor

    def save(self, folder: str | Path) -> None:
        """Write the files back as they were read."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)

    def token_id(self, token: str) -> int:
        """The id of a special token by its text."""
        found = self.tokenizer.token_to_id(token)
        if found is None:
            raise WeightsError(f"The tokenizer has no token {token}; the folder is damaged or of another family.")
        return found

    @property
    def style(self) -> Style:
        """How the model of this checkpoint writes answers: with `<answer>` tags, or plain with a thinking switch."""
        return "plain" if "enable_thinking" in self.chat_template else "tagged"

    @cached_property
    def _template(self) -> Template:
        return compile_template(self.chat_template)

    @cached_property
    def ability(self) -> Ability:
        """What the chat template can say."""
        return Ability.of(self._rendered)

    def prepare(
        self,
        messages: Sequence[Message],
        *,
        images: Sequence[Image.Image | Picture] = (),
        videos: Sequence[Video] = (),
        tools: Sequence[Mapping[str, Any]] = (),
        enable_thinking: bool | None = None,
        add_generation_prompt: bool = True,
        max_pixels: int | None = None,
    ) -> VisionPrompt:
        """A conversation as one prompt; `images` and `videos` fill its media parts in order of appearance.

        A part is `{"type": "image"}` or `{"type": "video"}` (`image_url` and `video_url` mean the same),
        text `{"type": "text", "text": ..}` or a plain string. `max_pixels` bounds each picture and each video,
        frames counted. Nothing is decoded here that was given as a `Picture` or a lazy `Video`. Raises `RequestError`
        where parts and media do not agree.
        """
        messages = normal_messages(messages)
        text = self.render(
            messages, tools=tools, enable_thinking=enable_thinking, add_generation_prompt=add_generation_prompt
        )
        queues: dict[int, list[Any]] = {PICTURE: list(images), VIDEO_FRAME: list(videos)}
        check_media(messages, queues)
        pieces = re.split(f"({re.escape(IMAGE)}|{re.escape(VIDEO)})", text)
        tokens = {PICTURE: IMAGE, VIDEO_FRAME: VIDEO}
        check_places(messages, {kind: pieces.count(token) for kind, token in tokens.items()}, tokens)
        return self._prompt(*self._see(pieces, queues, max_pixels))

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        enable_thinking: bool | None = None,
        add_generation_prompt: bool = True,
    ) -> str:
        """The chat template around the messages; thoughts of earlier turns are left out where it would keep them."""
        if enable_thinking is False and self.style == "tagged":
            raise RequestError(
                "This checkpoint has no switch for its thoughts (its chat template knows no enable_thinking); bound "
                "them by a budget instead.",
                param="enable_thinking",
            )
        messages = normal_messages(messages)
        self.ability.check(messages, tools)
        extra = {} if enable_thinking is None else {"enable_thinking": enable_thinking}
        return self._rendered(
            messages=[template_message(message, self.style) for message in messages],
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            **extra,
        )

    def _rendered(self, *, tools: Sequence[Mapping[str, Any]] = (), **values: Any) -> str:
        try:
            return self._template.render(tools=list(tools) or None, documents=None, **self.special, **values)
        except TemplateError as error:
            raise WeightsError(f"The chat template of the checkpoint fails: {error}.") from None
        except (TypeError, AttributeError, ValueError) as error:  # a foreign template on values that it does not expect
            raise RequestError(f"The chat template cannot say these messages: {error}.", param="messages") from None

    def encode(self, text: str) -> list[int]:
        """Plain tokenization; special tokens written in `text` are read as such.

        As a batch of one, which leaves the interpreter to other threads meanwhile; `Tokenizer.encode` does not.
        """
        return list(self.tokenizer.encode_batch([text], add_special_tokens=False)[0].ids)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Text of ids; special tokens stay, because the parsers read them."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def _see(
        self, pieces: Sequence[str], queues: Mapping[int, list[Any]], max_pixels: int | None
    ) -> tuple[str, list[VisionInput]]:
        """Text with every placeholder written out, and what stands in its places."""
        pictures, videos = (_bounded(config, max_pixels) for config in (self.pictures, self.videos))
        images, movies = iter(queues[PICTURE]), iter(queues[VIDEO_FRAME])
        written: list[str] = []
        vision_inputs: list[VisionInput] = []
        for piece in pieces:
            if piece == IMAGE:
                vision_inputs.append(picture_input(next(images), pictures))
                written.append(IMAGE * vision_inputs[-1].tokens)
            elif piece == VIDEO:
                video: Video = next(movies)
                vision_inputs.append(video_input(video, videos))
                written.append(self._frames(vision_inputs[-1].grid, video.seconds))
            else:
                written.append(piece)
        return "".join(written), vision_inputs

    def _frames(self, grid: PatchGrid, seconds: Sequence[float]) -> str:
        """A video in words: every pair of frames and its second."""
        places = IMAGE * self.videos.tokens((1, *grid[1:]))
        return "".join(f"{BEGIN_IMAGE}{places}{END_IMAGE}{self.sampling.stamp(second)}" for second in seconds)

    def _prompt(self, text: str, vision_inputs: Sequence[VisionInput]) -> VisionPrompt:
        ids = torch.tensor(self.encode(text), dtype=torch.long)
        inside = (ids == self.token_id(BEGIN_VIDEO)).cumsum(0) > (ids == self.token_id(END_VIDEO)).cumsum(0)
        modality = torch.where(inside, VIDEO_FRAME, PICTURE) * (ids == self.token_id(IMAGE))
        grids = [vision_input.grid for vision_input in vision_inputs]
        positions, following = prompt_positions(modality.tolist(), grids, merge=self.pictures.merge_size)
        return VisionPrompt(
            ids=ids,
            modality=modality,
            positions=positions,
            next_position=following,
            vision_inputs=tuple(vision_inputs),
            text=text,
        )


def _bounded(config: PixelConfig, max_pixels: int | None) -> PixelConfig:
    if max_pixels is None or max_pixels >= config.longest_edge:
        return config
    if max_pixels < config.shortest_edge:
        raise ConfigError(f"max_pixels must be at least {config.shortest_edge} for this checkpoint, got {max_pixels}.")
    return dataclasses.replace(config, longest_edge=max_pixels)


def _settings(folder: Path, files: Mapping[str, bytes], file: str, nested: str) -> tuple[dict[str, Any], str]:
    """Pixel settings from their own file, or from the part of `processor_config.json` that holds them."""
    whole = json_object(folder, files, "processor_config.json") if "processor_config.json" in files else {}
    if file in files:
        found, name = json_object(folder, files, file), str(folder / file)
    elif isinstance(whole.get(nested), dict):
        found, name = whole[nested], f"{folder / 'processor_config.json'} ({nested})"
    else:
        raise WeightsError(f"{folder / file} is missing; copy all files of the checkpoint.")
    return {"processor_class": whole.get("processor_class"), **found}, name
