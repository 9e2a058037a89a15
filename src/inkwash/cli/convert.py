"""``inkwash convert``: adapters in another format, checkpoints in another number type or files of another size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from inkwash.cli import options as o
from inkwash.core.errors import RequestError

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
    str | None, typer.Option("--shard-size", metavar="SIZE", help="Largest file of a checkpoint, such as 2GB [5GB].")
]


def convert(
    source: Source,
    output: Output,
    to: To = None,
    dtype: o.Dtype = None,
    shard_size: ShardSize = None,
) -> None:
    """Write a LoRA in another format, or a checkpoint in another number type or in files of another size.

    Example: inkwash convert style.safetensors -o style --to peft
    """
    if to is not None:
        if shard_size is not None:
            raise RequestError("--shard-size is for checkpoints; a LoRA is one file.", param="shard_size")
        _convert_adapter(source, output, to, dtype)
    elif dtype is None and shard_size is None:
        raise RequestError("Nothing is to be converted: give --to for a LoRA, --dtype or --shard-size.", param="to")
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


def _number_type(name: str | None) -> torch.dtype | None:
    import torch

    from inkwash.core.device import pick_dtype

    return None if name is None else pick_dtype(name, torch.device("cpu"))
