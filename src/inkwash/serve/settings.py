"""What one server was started with; every value is checked when the settings are made."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from inkwash.core import env
from inkwash.core.errors import ConfigError
from inkwash.serve.auth import ApiKey

MEBI = 2**20
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?")

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]{0,30}://[^/\s?#]{1,260}")


def name_of(model: str) -> str:
    """A model's public name: a path of this machine is nobody's business."""
    path = Path(model).expanduser()
    local = path.is_absolute() or model.startswith((".", "~")) or path.is_dir()
    return (path.resolve().name if local else model) or model


@dataclass(frozen=True, kw_only=True)
class EnhanceSettings:
    """An OpenAI-compatible endpoint that rewrites prompts; `always` does it without being asked."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    always: bool = False
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/\s]+", self.url):
            raise ConfigError(
                f"The enhancement endpoint {self.url!r} is no address: write it like https://host/v1, without "
                "/chat/completions."
            )


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """One server: where it listens, what it draws with, and what it allows."""

    model: str = "nano"
    host: str = "127.0.0.1"
    port: int = 30000
    device: str | None = None
    dtype: str | None = None
    tensor_parallel_size: int = 1  # devices that share each model
    state: Path | None = None  # jobs and the signing secret; None is a folder of the cache, one for each port
    max_queue: int = 64
    deadline_s: float | None = None
    cancel_on_disconnect: bool = True
    drain_s: float = 120.0
    api_keys: tuple[ApiKey, ...] = ()
    requests_per_minute: int | None = None
    concurrent_requests: int | None = None
    allowed_hosts: tuple[str, ...] = ()  # names by which browsers may call the server, beside those of this machine
    cors_origins: tuple[str, ...] = ()  # pages that may use the API from a browser; "*" is every page
    header_timeout_s: float = 20.0  # until the headers of a request are there
    body_timeout_s: float = 30.0  # between two pieces of a body, and for a slow one as a whole
    send_timeout_s: float = 60.0  # for an answer that its client reads slowly or not at all
    max_body_bytes: int = 256 * MEBI
    max_bodies_bytes: int = 512 * MEBI  # of all requests that are not answered yet
    max_json_bytes: int = 64 * MEBI
    max_image_bytes: int = 50 * MEBI
    max_mask_bytes: int = 4 * MEBI
    max_image_pixels: int = 40_000_000
    max_steps: int = 200
    url_hosts: tuple[str, ...] = ()
    log_prompts: bool = False
    plan_ttl_s: float = 24 * 3600.0
    job_ttl_s: float = 7 * 24 * 3600.0
    max_jobs: int = 1000
    enhance: EnhanceSettings | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("port", 0, 65535),
            ("max_queue", 1, 1_000_000),
            ("max_body_bytes", 1024, 2**40),
            ("max_bodies_bytes", 1024, 2**40),
            ("max_json_bytes", 1024, 2**40),
            ("max_image_bytes", 1024, 2**40),
            ("max_mask_bytes", 1024, 2**40),
            ("max_image_pixels", 1024, 2**30),
            ("max_steps", 1, 1000),
            ("max_jobs", 1, 10_000_000),
            ("requests_per_minute", 1, 1_000_000),
            ("concurrent_requests", 1, 1_000_000),
        ):
            _within(name, getattr(self, name), low, high)
        timeouts = ("header_timeout_s", "body_timeout_s", "send_timeout_s")
        for name in ("deadline_s", "drain_s", "plan_ttl_s", "job_ttl_s", *timeouts):
            _within(name, getattr(self, name), 0.001, 1e9)
        for host in (*self.url_hosts, *(each for each in self.allowed_hosts if each != "*")):
            if not _HOST.fullmatch(host):
                raise ConfigError(
                    f"The allowed host {host!r} is no host name: write it like images.example.org or 10.0.0.5:9000."
                )
        for origin in self.cors_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"--cors-origin is {origin!r}, but must be an origin such as https://pages.example.org, or *."
                )

    @property
    def served_name(self) -> str:
        """What clients are told about the model: its name, and of a folder the last part of the path only."""
        return name_of(self.model)

    @property
    def folder(self) -> Path:
        """Where jobs and the signing secret live."""
        return self.state if self.state is not None else env.cache_dir() / "serve" / str(self.port)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    """A model that sees: its name for clients, what they may send, how it is heard, how many it answers at once.

    `tools` off leaves tool calls in the text, `reasoning` off the thoughts; without `auto_tools` offered tools are
    refused. None leaves frames to the model's own rule.
    """

    model: str
    name: str | None = None
    folder: Path | None = None  # whose files clients may name
    tools: bool = True
    auto_tools: bool = True
    reasoning: bool = True
    max_images: int = 64
    max_videos: int = 4
    max_frames: int | None = None
    fps: float | None = None
    max_num_seqs: int = 8
    quantize: str | None = None
    agent_allow: tuple[str, ...] = ()  # places that agents of this server may act in; none: they may not act

    @property
    def served_name(self) -> str:
        """What clients call it."""
        return self.name or name_of(self.model)


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """How many of what, and which cluster."""

    replicas: int = 1
    planners: int = 0
    decoders: int = 0
    address: str | None = None

    def __post_init__(self) -> None:
        for name in ("replicas", "planners", "decoders"):
            if not 0 <= getattr(self, name) <= 1000:
                raise ConfigError(f"--{name} is {getattr(self, name)}, but must be from 0 to 1000.")
        if bool(self.planners) != bool(self.decoders):
            raise ConfigError("--planners and --decoders belong together: give both, or neither.")
        if not self.split and not self.replicas:
            raise ConfigError("--replicas is 0: give at least 1, or --planners and --decoders.")

    @property
    def split(self) -> bool:
        """Whether the two stages are separate deployments; replicas of the whole are not made then."""
        return bool(self.planners)

    @property
    def actors(self) -> int:
        return self.planners + self.decoders if self.split else self.replicas


def _within(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise ConfigError(f"{name} is {value}, but must be from {low:g} to {high:g}.")
