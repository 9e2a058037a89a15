"""`inkwash data`: pictures with captions become shards for training (encode), and both are looked over (check)."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkwash.cli import options as o
from inkwash.cli.help import WholeSummaries
from inkwash.cli.options import command
from inkwash.core.errors import ConfigError

if TYPE_CHECKING:
    from inkwash.data.buckets import Buckets

app = typer.Typer(
    cls=WholeSummaries,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Encode pictures with captions for training; check data.",
)

Source = Annotated[Path, typer.Argument(help="A folder of pictures with captions, or a .jsonl file.")]
Out = Annotated[Path, typer.Argument(help="The folder for the shards; new, or left by an interrupted run.")]
Checked = Annotated[Path, typer.Argument(help="A folder of shards, or pictures with captions.")]
Sides = Annotated[
    list[int] | None,
    typer.Option("--side", help="Side of a square canvas in px; again for more [default: the model's]."),
]
MaxAspect = Annotated[float, typer.Option("--max-aspect", help="Longest canvas: long side over short side.")]
MaxCrop = Annotated[float, typer.Option("--max-crop", help="Share of a picture that may be cut off to fit a canvas.")]
MinSide = Annotated[
    int | None,
    typer.Option("--min-side", help="Skip pictures with a shorter side [default: half the smallest canvas]."),
]
PerShard = Annotated[int, typer.Option("--per-shard", help="Examples per tar file.")]
Batch = Annotated[int, typer.Option("--batch", help="Pictures encoded at once.")]
MaxSkipped = Annotated[float, typer.Option("--max-skipped", help="Share of pictures that may be skipped.")]
Ray = Annotated[bool, typer.Option("--ray", help="Work on Ray Data: a cluster, or several processes here.")]
Workers = Annotated[int, typer.Option("--workers", help="With --ray: how many processes load the networks.")]
Address = Annotated[str | None, typer.Option("--ray-address", help="With --ray: the cluster [default: this machine].")]


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """Which model the pictures are for, and on which canvases they are put."""

    model: o.Model = "nano"
    side: Sides = None
    max_aspect: MaxAspect = 2.0
    max_crop: MaxCrop = 0.2
    min_side: MinSide = None

    def buckets(self) -> Buckets:
        """The canvases; the checkpoint's own where none are given."""
        from inkwash.data.buckets import Buckets

        sides = tuple(self.side) if self.side else _sides(self.model)
        try:
            return Buckets(sides=sides, max_aspect=self.max_aspect, max_crop=self.max_crop, min_side=self.min_side)
        except ValueError as error:
            raise ConfigError(f"The canvas settings cannot be used: {error}.") from error


@dataclass(frozen=True, kw_only=True)
class EncodeInputs:
    """From where to where."""

    source: Source
    out: Out


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """How the work is cut and who does it."""

    per_shard: PerShard = 1000
    batch: Batch = 8
    max_skipped: MaxSkipped = 0.1
    ray: Ray = False
    workers: Workers = 1
    ray_address: Address = None
    device: o.DeviceName = None
    quiet: o.Quiet = False

    def __post_init__(self) -> None:
        per_shard, batch, workers = self.per_shard, self.batch, self.workers
        if per_shard < 1 or batch < 1 or workers < 1:
            raise ConfigError(
                f"--per-shard, --batch and --workers must be at least 1, got {per_shard}, {batch}, {workers}."
            )
        if (workers > 1 or self.ray_address) and not self.ray:
            raise ConfigError("--workers and --ray-address need --ray: add it, or leave them out.")
        if not 0.0 <= self.max_skipped <= 1.0:
            raise ConfigError(f"--max-skipped is {self.max_skipped}, but must be a share from 0 to 1.")


def _encode(inputs: EncodeInputs, pictures: PictureOptions, work: EncodeOptions) -> None:
    """Pre-encode pictures: semantic tokens, latents and token ids, once, for `inkwash train finetune`.

    Example: inkwash data encode pictures/ shards/ --model nano
    """
    from inkwash.cli.draw import check_model
    from inkwash.data.folder import read_source

    check_model(pictures.model)
    buckets, examples = pictures.buckets(), read_source(inputs.source)

    from inkwash.data.encode import SKIPPED, run_here
    from inkwash.recipes.encode import encode_examples

    if work.ray:
        from inkwash.data.encode_ray import RayRunner

        runner = RayRunner(work.workers, work.ray_address)
    outcome = encode_examples(
        examples,
        inputs.out,
        pictures.model,
        device=work.device,
        buckets=buckets,
        per_shard=work.per_shard,
        batch=work.batch,
        max_skipped=work.max_skipped,
        runner=runner if work.ray else run_here,
        report=(lambda *_: None) if work.quiet else _report,
    )
    skipped = f", {len(outcome.skipped)} skipped (see {inputs.out / SKIPPED})" if outcome.skipped else ""
    print(f"{outcome.samples} of {len(examples)} examples in {outcome.shards} shards{skipped}")


@dataclass(frozen=True, kw_only=True)
class CheckInputs:
    """What to look over."""

    path: Checked


def _check(inputs: CheckInputs, pictures: PictureOptions) -> None:
    """Read every byte of shards, or open every picture of a folder, and say what is wrong; exit code 1 if anything is.

    Example: inkwash data check shards/
    """
    from inkwash.data.encode import is_shards

    if inputs.path.is_dir() and is_shards(inputs.path):
        problems = _check_shards(inputs.path)
    else:
        problems = _check_pictures(inputs.path, pictures.buckets())
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)


app.command("encode")(command(_encode, EncodeInputs, PictureOptions, EncodeOptions))
app.command("check")(command(_check, CheckInputs, PictureOptions))


def _check_shards(path: Path) -> list[str]:
    from inkwash.data.shards import ShardSet, check_shards

    shards = ShardSet(path)
    for group, members in sorted(shards.groups.items()):
        print(f"{group}: {sum(count for _, count in members)} samples in {len(members)} shards")
    return check_shards(path)


def _check_pictures(path: Path, buckets: Buckets) -> list[str]:
    from inkwash.core.errors import MediaError
    from inkwash.data.encode import plan_jobs
    from inkwash.data.folder import read_source
    from inkwash.media.images import load_image

    examples = read_source(path)
    jobs, skipped = plan_jobs(examples, buckets, per_shard=len(examples))
    problems = [f"{one['file']}: {one['reason']}" for one in skipped]
    for job in jobs:
        print(f"{job.group}: {len(job.examples)} examples")
        for _, example in job.examples:
            for picture in example.pictures:
                try:
                    load_image(picture)
                except MediaError as error:
                    problems.append(f"{picture}: {error.message}")
    return problems


def _sides(model: str) -> tuple[int, ...]:
    """The checkpoint's own canvas, from its configuration file."""
    from inkwash.data.buckets import CELL
    from inkwash.models.registry import resolve
    from inkwash.models.tensor_files import read_json

    size = read_json(resolve(model) / "vae" / "config.json").get("sample_size")
    return (max(64, int(size) // CELL * CELL) if isinstance(size, int) else 1024,)


def _report(done: int, total: int, skipped: int) -> None:
    print(f"shard {done}/{total}, {skipped} pictures skipped", file=sys.stderr, flush=True)
