"""``inkwash serve``: the OpenAI images API over one model, chat completions over another, until it is told to stop."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkwash.cli import options as o
from inkwash.cli import serve_chat as c

if TYPE_CHECKING:
    from inkwash.serve.backend import Backend
    from inkwash.serve.settings import EnhanceSettings

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
Ui = Annotated[bool, typer.Option("--ui", help="Also serve the page at /ui; its Chat tab asks --chat, or nano-v.")]
Ray = Annotated[bool, typer.Option("--ray", help="Draw on replicas in a Ray cluster.")]
Replicas = Annotated[int, typer.Option("--replicas", help="With --ray: replicas that draw whole pictures.")]
Planners = Annotated[int, typer.Option("--planners", help="With --ray: AR replicas; with --decoders.")]
Decoders = Annotated[int, typer.Option("--decoders", help="With --ray: decoder replicas; with --planners.")]
RayAddress = Annotated[
    str | None, typer.Option("--ray-address", help="Cluster to join [default: RAY_ADDRESS, else one on this machine].")
]


def serve(
    model: Model = "nano",
    host: Host = "127.0.0.1",
    port: Port = 30000,
    device: o.DeviceName = None,
    dtype: o.Dtype = None,
    lora: o.Loras = None,
    offload: o.Offload = "none",
    quantize: o.Quantize = None,
    compile: o.Compile = False,
    state: State = None,
    max_queue: Queue = 64,
    deadline: Deadline = None,
    cancel_on_disconnect: CancelFlag = True,
    drain: Drain = 120.0,
    key_file: KeyFile = None,
    rate: Rate = None,
    concurrent: Concurrent = None,
    allowed_host: AllowedHosts = None,
    cors_origin: CorsOrigins = None,
    max_body_mb: MaxBody = 256,
    max_json_mb: MaxJson = 64,
    max_image_mp: MaxPixels = 40.0,
    max_steps: MaxSteps = 200,
    allow_url_host: UrlHosts = None,
    enhance_url: EnhanceUrl = None,
    enhance_model: EnhanceModel = "glm-4.7",
    enhance: EnhanceAlways = False,
    log_prompts: LogPrompts = False,
    quiet: Quiet = False,
    ui: Ui = False,
    chat: c.Model = None,
    served_model_name: c.Name = None,
    tool_call_parser: c.ToolParser = None,
    enable_auto_tool_choice: c.AutoTools = None,
    reasoning_parser: c.ReasoningParser = None,
    allowed_local_media_path: c.Folder = None,
    media_io_kwargs: c.MediaIo = None,
    limit_mm_per_prompt: c.Limits = None,
    max_num_seqs: c.Conversations = None,
    quantization: c.Quantization = None,
    agent_allow: c.AgentAllow = None,
    tensor_parallel_size: c.TensorParallel = 1,
    ray: Ray = False,
    replicas: Replicas = 1,
    planners: Planners = 0,
    decoders: Decoders = 0,
    ray_address: RayAddress = None,
) -> None:
    """Serve the OpenAI images API, chat completions, or both.

    Example: inkwash serve nano --port 30000
    """
    from inkwash.cli.draw import check_model, open_reader
    from inkwash.cli.draw_options import read_loras
    from inkwash.core.errors import ConfigError, MissingExtraError

    c.check_one_device(tensor_parallel_size)
    alone = c.sees(model)
    if alone and chat is not None:
        raise ConfigError(f"{model} sees, and so does --chat {chat}: name one of them, or a model that draws.")
    if alone and (ui or ray):
        raise ConfigError(f"{model} cannot draw: for --ui and --ray name one that does, and --chat {model} beside it.")
    if alone and (lora or offload != "none" or quantize or compile):
        raise ConfigError(f"{model} cannot draw: --lora, --offload, --quantize and --compile need one that does.")
    flags = c.ChatFlags(
        name=served_model_name,
        tool_parser=tool_call_parser,
        auto_tools=enable_auto_tool_choice,
        reasoning_parser=reasoning_parser,
        folder=allowed_local_media_path,
        media_io=media_io_kwargs,
        limits=limit_mm_per_prompt,
        max_num_seqs=max_num_seqs,
        quantize=quantization,
        agent_allow=tuple(agent_allow) if agent_allow else None,
    )
    seeing = flags.settings(model if alone else c.chosen(chat, ui))
    if not alone:
        check_model(model)
    for module in ("fastapi", "uvicorn", "multipart", "prometheus_client"):
        if find_spec(module) is None:
            raise MissingExtraError("inkwash serve", extra="serve")
    from inkwash.serve.auth import VARIABLE, read_keys
    from inkwash.serve.listen import bind
    from inkwash.serve.settings import MEBI, ClusterSettings, ServeSettings

    if not 0.001 <= max_image_mp <= 1000:
        raise ConfigError(f"--max-image-mp is {max_image_mp}, but must be from 0.001 to 1000.")
    if not ray and (planners or decoders or replicas != 1 or ray_address):
        raise ConfigError("--replicas, --planners, --decoders and --ray-address need --ray.")
    from inkwash.engine.defaults import ModelDefaults
    from inkwash.engine.open import LoadOptions
    from inkwash.models.registry import model_defaults

    options = LoadOptions(
        model=model,
        device=device,
        dtype=dtype,
        offload=offload,
        quantize=quantize,
        compile=compile,
        loras=read_loras(lora),
    )
    if planners and not options.plain:
        raise ConfigError(
            "--planners and --decoders load the checkpoint as it is: leave --lora, --offload, --quantize and --compile "
            "out, or use --replicas."
        )
    cluster = ClusterSettings(replicas=replicas, planners=planners, decoders=decoders, address=ray_address)
    settings = ServeSettings(
        model=seeing.served_name if alone and seeing is not None else model,
        host=host,
        port=port,
        device=device,
        dtype=dtype,
        state=state,
        shown=ModelDefaults() if alone else model_defaults(model),
        max_queue=max_queue,
        deadline_s=deadline,
        cancel_on_disconnect=cancel_on_disconnect,
        drain_s=drain,
        api_keys=read_keys(key_file, os.environ.get(VARIABLE, "")),
        requests_per_minute=rate,
        concurrent_requests=concurrent,
        allowed_hosts=tuple(allowed_host or ()),
        cors_origins=tuple(origin.rstrip("/").lower() for origin in cors_origin or ()),
        max_body_bytes=max_body_mb * MEBI,
        max_json_bytes=max_json_mb * MEBI,
        max_image_pixels=round(max_image_mp * 1e6),
        max_steps=max_steps,
        url_hosts=tuple(allow_url_host or ()),
        log_prompts=log_prompts,
        enhance=_enhance(enhance_url, enhance_model, enhance),
    )
    bound = bind(host, port)

    def load() -> Backend:
        if ray:
            from inkwash.serve.cluster import load_cluster

            return load_cluster(settings, cluster, options)
        from inkwash.serve.backend import load_backend

        return load_backend(options, max_queue=max_queue)

    from inkwash.serve.server import serve as run_server

    run_server(
        settings,
        None if alone else load,
        bound=bound,
        log_requests=not quiet,
        ui=ui,
        chat=seeing,
        open_reader=open_reader,
    )


def _enhance(url: str | None, model: str, always: bool) -> EnhanceSettings | None:
    from inkwash.core.errors import ConfigError
    from inkwash.serve.settings import EnhanceSettings

    if url is None:
        if always:
            raise ConfigError(
                "--enhance needs --enhance-url: name an OpenAI-compatible endpoint, such as https://host/v1."
            )
        return None
    return EnhanceSettings(url=url, model=model, key=os.environ.get(ENHANCE_KEY) or None, always=always)
