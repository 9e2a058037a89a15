"""The options of `serve` for a model that sees, under the names that other servers of these models give them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkwash.core.errors import ConfigError

if TYPE_CHECKING:
    from inkwash.serve.settings import ChatSettings

PARSERS = ("glm45", "none")
Model = Annotated[
    str | None,
    typer.Option("--chat", metavar="MODEL", help="Also answer /v1/chat/completions with a model that sees, or none."),
]
Name = Annotated[
    str | None, typer.Option("--served-model-name", metavar="NAME", help="What chat clients call the model that sees.")
]
ToolParser = Annotated[
    str | None,
    typer.Option("--tool-call-parser", metavar="glm45|none", help="How tool calls are read [default: glm45]."),
]
AutoTools = Annotated[
    bool | None,
    typer.Option("--enable-auto-tool-choice/--no-auto-tool-choice", help="Whether the model may call offered tools."),
]
ReasoningParser = Annotated[
    str | None,
    typer.Option(
        "--reasoning-parser", metavar="glm45|none", help="Thoughts as reasoning_content, or left in the text."
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option("--allowed-local-media-path", help="Folder whose files chat clients may name as file:// addresses."),
]
MediaIo = Annotated[
    str | None,
    typer.Option(
        "--media-io-kwargs", metavar="JSON", help='Frames of videos: {"video": {"num_frames": 64, "fps": 2}}.'
    ),
]
Limits = Annotated[
    str | None,
    typer.Option("--limit-mm-per-prompt", metavar="JSON", help='Most media of a request: {"image": 10, "video": 1}.'),
]
Conversations = Annotated[
    int | None, typer.Option("--max-num-seqs", help="Conversations answered together [default: 8].")
]
Quantization = Annotated[
    str | None,
    typer.Option("--quantization", metavar="KIND", help="Round the weights of the model that sees: int8, int4 or fp8."),
]
AgentAllow = Annotated[
    list[str] | None,
    typer.Option("--agent-allow", metavar="HOST", help="Let agents act on this host's pages; give it again for more."),
]


@dataclass(frozen=True, kw_only=True)
class ChatOptions:
    """Which model sees, and how it answers; None is not given."""

    chat: Model = None
    served_model_name: Name = None
    tool_call_parser: ToolParser = None
    enable_auto_tool_choice: AutoTools = None
    reasoning_parser: ReasoningParser = None
    allowed_local_media_path: Folder = None
    media_io_kwargs: MediaIo = None
    limit_mm_per_prompt: Limits = None
    max_num_seqs: Conversations = None
    quantization: Quantization = None
    agent_allow: AgentAllow = None

    def check(self, model: str, *, alone: bool, also_draws: bool) -> None:
        """A model that sees, served `alone`, has no second one beside it and nothing that draws."""
        if alone and self.chat is not None:
            raise ConfigError(f"{model} sees, and so does --chat {self.chat}: name one of them, or a model that draws.")
        if alone and also_draws:
            raise ConfigError(
                f"{model} cannot draw: for --ui and --ray name one that does, and --chat {model} beside it."
            )

    def settings(self, model: str | None) -> ChatSettings | None:
        """What the server needs; None without a model. Raises ConfigError in one sentence for what cannot be done."""
        if model is None:
            named = [name for name, value in vars(self).items() if name != "chat" and value is not None]
            if named:
                option = "--" + named[0].replace("_", "-")
                raise ConfigError(f"{option} needs a model that sees: add --chat nano-v, or serve one.")
            return None
        from inkwash.engine.quantize import parse_kind
        from inkwash.serve.settings import ChatSettings

        parsers = {"--tool-call-parser": self.tool_call_parser, "--reasoning-parser": self.reasoning_parser}
        for option, parser in parsers.items():
            if parser not in (None, *PARSERS):
                raise ConfigError(f"{option} is {parser!r}, but must be one of {', '.join(PARSERS)}.")
        folder, name = self.allowed_local_media_path, self.served_model_name
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"--allowed-local-media-path is {str(folder)!r}, which is no folder.")
        frames, fps = _frames(self.media_io_kwargs)
        images, videos = _limits(self.limit_mm_per_prompt)
        if name is not None and not name.strip():
            raise ConfigError("--served-model-name is empty: give a name, or leave it out.")
        if self.max_num_seqs is not None and not 1 <= self.max_num_seqs <= 256:
            raise ConfigError(f"--max-num-seqs is {self.max_num_seqs}, but must be from 1 to 256.")
        kind = parse_kind(self.quantization)
        usual = ChatSettings(model=model)
        return ChatSettings(
            model=model,
            name=name,
            folder=folder,
            tools=self.tool_call_parser != "none",
            auto_tools=self.enable_auto_tool_choice is not False,
            reasoning=self.reasoning_parser != "none",
            max_frames=frames,
            fps=fps,
            max_images=usual.max_images if images is None else images,
            max_videos=usual.max_videos if videos is None else videos,
            max_num_seqs=usual.max_num_seqs if self.max_num_seqs is None else self.max_num_seqs,
            quantize=kind,
            agent_allow=tuple(self.agent_allow or ()),
        )


def sees(model: str) -> bool:
    """Whether a name or folder is a model that sees; a repository on a hub counts as one that draws."""
    from inkwash.models.glm_v.folder import KINDS
    from inkwash.models.registry import SEES, find
    from inkwash.models.tensor_files import read_json

    entry = find(model)
    if entry is not None:
        return entry.kind == SEES
    config = Path(model).expanduser() / "config.json"
    return config.is_file() and read_json(config).get("model_type") in KINDS


def chosen(chat: str | None, ui: bool) -> str | None:
    """The model that sees beside one that draws, checked: the named one, none, or for the page the shipped one."""
    from inkwash.models.glm_v.folder import DEFAULT_MODEL, find_vision

    if chat is None:
        return DEFAULT_MODEL if ui else None
    if chat == "none":
        return None
    find_vision(chat)
    return chat


def _object(option: str, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f"{option} is {text!r}, but must be a JSON object.")
    return found


def _frames(text: str | None) -> tuple[int | None, float | None]:
    """Most frames and frames per second of a video; num_frames -1 leaves the number to the model's own rule."""
    if text is None:
        return None, None
    found = _object("--media-io-kwargs", text)
    video = found.get("video", {})
    if set(found) - {"video"} or not isinstance(video, dict) or set(video) - {"num_frames", "fps"}:
        raise ConfigError(f"--media-io-kwargs is {text!r}: only num_frames and fps of video can be set.")
    frames, fps = video.get("num_frames", -1), video.get("fps")
    if isinstance(frames, bool) or not isinstance(frames, int) or (frames != -1 and frames < 1):
        raise ConfigError(f"--media-io-kwargs: num_frames is {frames!r}, but must be -1 or at least 1.")
    if fps is not None and (isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 1000):
        raise ConfigError(f"--media-io-kwargs: fps is {fps!r}, but must be above 0.")
    return (None if frames == -1 else frames), fps


def _limits(text: str | None) -> tuple[int | None, int | None]:
    """Most pictures and videos of a request."""
    if text is None:
        return None, None
    found = _object("--limit-mm-per-prompt", text)
    if unknown := sorted(set(found) - {"image", "video"}):
        raise ConfigError(f"--limit-mm-per-prompt names {unknown[0]!r}: only image and video are seen.")
    for kind, most in found.items():
        if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= 10_000:
            raise ConfigError(f"--limit-mm-per-prompt: {kind} is {most!r}, but must be a whole number from 0 on.")
    return found.get("image"), found.get("video")
