"""`inkwash serve`: the OpenAI images API over one model, chat completions over another, until it is told to stop."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkwash.cli import serve_chat as c
from inkwash.cli.options import Also, LoraFolder, WeightOptions, adapters_of, command
from inkwash.core.errors import ConfigError

if TYPE_CHECKING:
    from inkwash.engine.open import LoadOptions
    from inkwash.serve.backend import Backend
    from inkwash.serve.settings import ClusterSettings, EnhanceSettings, ServeSettings

ENHANCE_KEY = "INKWASH_ENHANCE_KEY"

Model = Annotated[
    str,
    typer.Argument(help="A name that `inkwash models` lists, or a checkpoint folder; one that sees is served alone."),
]
Host = Annotated[str, typer.Option("--host", help="Address to listen at; the default is this machine only.")]
Port = Annotated[int, typer.Option("--port", help="Port to listen at.")]
State = Annotated[
    Path | None, typer.Option("--state", help="Folder of jobs and the signing secret [default: the cache folder].")
]
Queue = Annotated[int, typer.Option("--max-queue", help="Requests that may wait; more are told when to come back.")]
Deadline = Annotated[
    float | None, typer.Option("--deadline", metavar="SECONDS", help="Longest time of a request [default: none].")
]
CancelFlag = Annotated[
    bool,
    typer.Option(
        "--cancel-on-disconnect/--keep-on-disconnect",
        help="Stop drawing for a client that has gone, or keep its pictures as a job.",
    ),
]
Drain = Annotated[float, typer.Option("--drain", metavar="SECONDS", help="Time to finish requests when stopping.")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="API keys, one name:secret on each line; INKWASH_API_KEYS adds more."),
]
Rate = Annotated[int | None, typer.Option("--rate", help="Requests a minute of one client [default: no limit].")]
Concurrent = Annotated[
    int | None, typer.Option("--concurrent", help="Requests at a time of one client [default: no limit].")
]
AllowedHosts = Annotated[
    list[str] | None,
    typer.Option("--allowed-host", help="Name by which browsers may call the server; give it again for more."),
]
CorsOrigins = Annotated[
    list[str] | None,
    typer.Option("--cors-origin", metavar="ORIGIN", help="Page that may use the API from a browser, or *; again."),
]
MaxBody = Annotated[int, typer.Option("--max-body-mb", help="Largest request in MiB.")]
MaxBodies = Annotated[int, typer.Option("--max-bodies-mb", help="MiB of requests held at once; more get 503.")]
MaxJson = Annotated[int, typer.Option("--max-json-mb", help="Largest JSON body in MiB; files of forms do not count.")]
MaxPixels = Annotated[float, typer.Option("--max-image-mp", help="Largest reference picture in millions of pixels.")]
MaxSteps = Annotated[int, typer.Option("--max-steps", help="Most denoising steps a client may ask for.")]
UrlHosts = Annotated[
    list[str] | None,
    typer.Option("--allow-url-host", help="Host whose pictures may be fetched by address; give it again for more."),
]
EnhanceUrl = Annotated[
    str | None,
    typer.Option("--enhance-url", metavar="URL", help="OpenAI-compatible endpoint that may rewrite prompts."),
]
EnhanceModel = Annotated[str, typer.Option("--enhance-model", help="Model that is asked for at that endpoint.")]
EnhanceAlways = Annotated[
    bool, typer.Option("--enhance", help="Rewrite every prompt, unless a request says enhance_prompt: false.")
]
LogPrompts = Annotated[bool, typer.Option("--log-prompts", help="Write prompts into the request log.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No request log on stderr.")]
Ui = Annotated[bool, typer.Option("--ui", help="Also serve the page at /ui; its tab Ask asks --chat, or nano-v.")]
Ray = Annotated[bool, typer.Option("--ray", help="Draw on replicas in a Ray cluster.")]
Replicas = Annotated[int, typer.Option("--replicas", help="With --ray: replicas that draw whole pictures.")]
Planners = Annotated[int, typer.Option("--planners", help="With --ray: AR replicas; with --decoders.")]
Decoders = Annotated[int, typer.Option("--decoders", help="With --ray: decoder replicas; with --planners.")]
RayAddress = Annotated[
    str | None, typer.Option("--ray-address", help="Cluster to join [default: RAY_ADDRESS, else one on this machine].")
]


@dataclass(frozen=True, kw_only=True)
class ListenOptions:
    """Which model, and at which address."""

    model: Model = "nano"
    also: Also = None
    host: Host = "127.0.0.1"
    port: Port = 30000


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """What clients may do, and how long the server waits for what."""

    state: State = None
    max_queue: Queue = 64
    deadline: Deadline = None
    cancel_on_disconnect: CancelFlag = True
    drain: Drain = 120.0
    key_file: KeyFile = None
    rate: Rate = None
    concurrent: Concurrent = None
    allowed_host: AllowedHosts = None
    cors_origin: CorsOrigins = None
    max_body_mb: MaxBody = 256
    max_bodies_mb: MaxBodies = 512
    max_json_mb: MaxJson = 64
    max_image_mp: MaxPixels = 40.0
    max_steps: MaxSteps = 200
    allow_url_host: UrlHosts = None
    lora_folder: LoraFolder = None

    def __post_init__(self) -> None:
        if not 0.001 <= self.max_image_mp <= 1000:
            raise ConfigError(f"--max-image-mp is {self.max_image_mp}, but must be from 0.001 to 1000.")


@dataclass(frozen=True, kw_only=True)
class EnhanceOptions:
    """Who rewrites prompts."""

    enhance_url: EnhanceUrl = None
    enhance_model: EnhanceModel = "glm-4.7"
    enhance: EnhanceAlways = False

    def settings(self) -> EnhanceSettings | None:
        """The same for the server; None without an endpoint."""
        from inkwash.serve.settings import EnhanceSettings

        if self.enhance_url is None:
            if self.enhance:
                raise ConfigError(
                    "--enhance needs --enhance-url: name an OpenAI-compatible endpoint, such as https://host/v1."
                )
            return None
        key = os.environ.get(ENHANCE_KEY) or None
        return EnhanceSettings(url=self.enhance_url, model=self.enhance_model, key=key, always=self.enhance)


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """What is written down, and whether people get a page."""

    log_prompts: LogPrompts = False
    quiet: Quiet = False
    ui: Ui = False


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Which replicas draw."""

    ray: Ray = False
    replicas: Replicas = 1
    planners: Planners = 0
    decoders: Decoders = 0
    ray_address: RayAddress = None

    def __post_init__(self) -> None:
        if not self.ray and (self.planners or self.decoders or self.replicas != 1 or self.ray_address):
            raise ConfigError("--replicas, --planners, --decoders and --ray-address need --ray.")


def _serve(
    at: ListenOptions,
    weights: WeightOptions,
    clients: ClientOptions,
    rewriting: EnhanceOptions,
    logs: LogOptions,
    chat: c.ChatOptions,
    cluster: ClusterOptions,
) -> None:
    """Serve the OpenAI images API, chat completions, or both.

    Example: inkwash serve nano --port 30000
    """
    from inkwash.cli.draw import check_model, open_reader
    from inkwash.core.errors import require_modules

    model, alone = at.model, c.sees(at.model)
    chat.check(model, alone=alone, also_draws=logs.ui or cluster.ray)
    if alone and (weights.changed or clients.lora_folder):
        raise ConfigError(f"{model} cannot draw: --lora, --offload, --quantize and --compile need one that does.")
    options = weights.load(model)
    seeing = chat.settings(model if alone else c.chosen(chat.chat, logs.ui))
    if not alone:
        check_model(model)
    _check_further(at, alone=alone, cluster=cluster.ray)
    require_modules("inkwash serve", "fastapi", "uvicorn", "multipart", "prometheus_client", extra="serve")
    from inkwash.serve.listen import bind

    options = replace(options, offered=adapters_of(clients.lora_folder))
    if cluster.planners and not options.plain:
        raise ConfigError(
            "--planners and --decoders load the checkpoint as it is: leave --lora, --offload, --quantize and --compile "
            "out, or use --replicas."
        )
    replicas = _replicas(cluster)
    name = seeing.served_name if alone and seeing is not None else model
    settings = _settings(name, at, weights, clients, rewriting, log_prompts=logs.log_prompts)
    bound = bind(at.host, at.port)
    from inkwash.serve.server import serve as run_server  # torch from here on

    run_server(
        settings,
        None if alone else partial(_load, settings, options, replicas),
        also=[partial(_load, settings, replace(weights.load(further), loras=()), None) for further in at.also or ()],
        bound=bound,
        log_requests=not logs.quiet,
        ui=logs.ui,
        chat=seeing,
        open_reader=open_reader,
    )


def _check_further(at: ListenOptions, *, alone: bool, cluster: bool) -> None:
    """Further models that draw have names of their own and lie in this process."""
    from inkwash.cli.draw import check_model
    from inkwash.serve.settings import name_of

    if not at.also:
        return
    if alone or cluster:
        raise ConfigError("--also serves further models that draw beside one in this process: not with --ray or alone.")
    names = [name_of(model).lower() for model in (at.model, *at.also)]
    if len(set(names)) < len(names):
        raise ConfigError("--also names a model twice: requests choose by the last part of a path.")
    for model in at.also:
        check_model(model)


def _settings(
    name: str,
    at: ListenOptions,
    weights: WeightOptions,
    clients: ClientOptions,
    rewriting: EnhanceOptions,
    *,
    log_prompts: bool,
) -> ServeSettings:
    """The options as the server's settings."""
    from inkwash.serve.auth import VARIABLE, read_keys
    from inkwash.serve.settings import MEBI, ServeSettings

    return ServeSettings(
        model=name,
        host=at.host,
        port=at.port,
        device=weights.device,
        dtype=weights.dtype,
        tensor_parallel_size=weights.tensor_parallel_size,
        state=clients.state,
        max_queue=clients.max_queue,
        deadline_s=clients.deadline,
        cancel_on_disconnect=clients.cancel_on_disconnect,
        drain_s=clients.drain,
        api_keys=read_keys(clients.key_file, os.environ.get(VARIABLE, "")),
        requests_per_minute=clients.rate,
        concurrent_requests=clients.concurrent,
        allowed_hosts=tuple(clients.allowed_host or ()),
        cors_origins=tuple(origin.rstrip("/").lower() for origin in clients.cors_origin or ()),
        max_body_bytes=clients.max_body_mb * MEBI,
        max_bodies_bytes=clients.max_bodies_mb * MEBI,
        max_json_bytes=clients.max_json_mb * MEBI,
        max_image_pixels=round(clients.max_image_mp * 1e6),
        max_steps=clients.max_steps,
        url_hosts=tuple(clients.allow_url_host or ()),
        log_prompts=log_prompts,
        enhance=rewriting.settings(),
    )


def _replicas(cluster: ClusterOptions) -> ClusterSettings | None:
    """The replicas in a Ray cluster, checked; None for a model in this process."""
    if not cluster.ray:
        return None
    from inkwash.serve.settings import ClusterSettings

    return ClusterSettings(
        replicas=cluster.replicas,
        planners=cluster.planners,
        decoders=cluster.decoders,
        address=cluster.ray_address,
    )


def _load(settings: ServeSettings, options: LoadOptions, replicas: ClusterSettings | None) -> Backend:
    """What draws: the model in this process, or replicas."""
    if replicas is not None:
        from inkwash.serve.cluster import load_cluster

        return load_cluster(settings, replicas, options)
    from inkwash.serve.backend import load_backend

    return load_backend(options, max_queue=settings.max_queue)


serve = command(
    _serve, ListenOptions, WeightOptions, ClientOptions, EnhanceOptions, LogOptions, c.ChatOptions, ClusterOptions
)
