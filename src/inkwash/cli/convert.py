"""`inkwash convert`: adapters in another format, checkpoints in 8 or 4 bits, another number type or other files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inkwash.cli import options as o
from inkwash.core.errors import RequestError
from inkwash.core.text import size_text

if TYPE_CHECKING:
    import torch

Source = Annotated[
    str,
    typer.Argument(
        help="A checkpoint: a name that `inkwash models` lists, or a folder. With --to a LoRA: a folder, a file, or "
        "owner/name on a hub."
    ),
]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="PATH", help="A new folder, or a LoRA's file.")]
To = Annotated[
    Literal["peft", "diffusers", "kohya"] | None,
    typer.Option("--to", help="Convert a LoRA to the format of this library."),
]
ShardSize = Annotated[
    str | None,
    typer.Option("--shard-size", metavar="SIZE", help="Largest file of a checkpoint, such as 2GB [default: 5GB]."),
]

Quantize = Annotated[
    str | None,
    typer.Option(
        "--quantize",
        metavar="KINDS",
        help="Round a checkpoint's matrices once: ar=int4,decoder=int8, or one kind (int8, int4, fp8) for all.",
    ),
]


def convert(
    source: Source,
    output: Output,
    to: To = None,
    dtype: o.Dtype = None,
    shard_size: ShardSize = None,
    quantize: Quantize = None,
    quiet: o.Quiet = False,
) -> None:
    """Write a LoRA in another format, or a checkpoint in fewer bits, another number type or files of another size.

    Example: inkwash convert zai-org/GLM-Image -o small --quantize ar=int4,decoder=int8
    """
    if quantize is not None:
        if to is not None or dtype is not None or shard_size is not None:
            raise RequestError("--quantize stands alone: convert in two steps.", param="quantize")
        _quantize(source, output, quantize, quiet=quiet)
    elif to is not None:
        if shard_size is not None:
            raise RequestError("--shard-size is for checkpoints; a LoRA is one file.", param="shard_size")
        _convert_adapter(source, output, to, dtype)
    elif dtype is None and shard_size is None:
        raise RequestError(
            "Nothing is to be converted: give --to for a LoRA, --quantize, --dtype or --shard-size.", param="to"
        )
    else:
        _rewrite(source, output, dtype, shard_size)


def _convert_adapter(source: str, output: Path, to: Literal["peft", "diffusers", "kohya"], dtype: str | None) -> None:
    from inkwash.models.lora_convert import convert_adapter

    for file in convert_adapter(source, output, to=to, dtype=_number_type(dtype)):
        print(file)


def _rewrite(source: str, output: Path, dtype: str | None, shard_size: str | None) -> None:
    from inkwash.cli.serve_chat import sees
    from inkwash.engine.surface import shard_bytes
    from inkwash.models.glm_v.folder import resolve_vision
    from inkwash.models.registry import resolve
    from inkwash.models.rewrite import rewrite_checkpoint
    from inkwash.models.weights import MAX_SHARD_BYTES

    size = shard_bytes(shard_size, MAX_SHARD_BYTES)
    folder = resolve_vision(source) if sees(source) else resolve(source)
    print(rewrite_checkpoint(folder, output, dtype=_number_type(dtype), max_shard_bytes=size))


def _quantize(source: str, output: Path, quantize: str, *, quiet: bool) -> None:
    from inkwash.cli.serve_chat import sees
    from inkwash.engine.convert import convert as run
    from inkwash.engine.quantize import parse_kind, parse_quantize
    from inkwash.models.glm_v.folder import resolve_vision
    from inkwash.models.registry import resolve

    if sees(source):
        kind, folder = parse_kind(quantize), resolve_vision(source)
        kinds = {} if kind is None else {"see": kind}
    else:
        kinds, folder = parse_quantize(quantize), resolve(source)
    if not kinds:
        raise RequestError("quantize is none, so there is nothing to convert: name a kind.", param="quantize")
    verbose = not quiet and sys.stderr.isatty()

    def report(part: str, done: int, total: int) -> None:
        print(f"\r{part} {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    for made in run(folder, output, kinds, report if verbose else None):
        print(f"{made.part}: {made.matrices} matrices rounded, {size_text(made.before)} -> {size_text(made.after)}")
    print(output)


def _number_type(name: str | None) -> torch.dtype | None:
    import torch

    from inkwash.core.device import pick_dtype

    return None if name is None else pick_dtype(name, torch.device("cpu"))
