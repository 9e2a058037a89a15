"""The options that several commands share, each written once with its help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

Layout: TypeAlias = Literal["new", "same"]
Tier: TypeAlias = Literal["low", "medium", "high", "exact"]
OffloadProfile: TypeAlias = Literal["auto", "none", "stage", "block", "map"]

Prompt = Annotated[
    str, typer.Argument(help="What to draw; put the words to be written in quotation marks. - reads stdin.")
]
PromptOrFile = Annotated[
    str | None, typer.Argument(help="What to draw; put the words to be written in quotation marks. - reads stdin.")
]
Prompts = Annotated[
    Path | None,
    typer.Option(
        "--prompts",
        metavar="FILE",
        help="Draw every line of a file, a prompt or a JSON object with settings of its own; - reads stdin.",
    ),
]
Output = Annotated[
    Path,
    typer.Option("-o", "--output", help="File to write: .png, .webp or .jpg by its suffix. A taken name is numbered."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there instead of numbering.")]
Model = Annotated[str, typer.Option("--model", help="A name that `inkwash models` lists, or a checkpoint folder.")]
SizeText = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="WxH",
        help="Width x height, multiples of 32 [default: the model's own, or the first picture's].",
    ),
]
Steps = Annotated[
    int | None, typer.Option("--steps", help="Denoising steps [default: the model's own; 20 for nano, 50 released].")
]
Guidance = Annotated[
    float | None,
    typer.Option("--guidance", help="Guidance scale; 1 turns it off [default: the model's own; 1.5 released]."),
]
Negative = Annotated[str | None, typer.Option("--negative", help="Words to keep out of the picture.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Same seed, same picture [default: drawn and printed].")]
Count = Annotated[int, typer.Option("-n", "--n", help="How many pictures; picture i has seed + i.")]
LayoutChoice = Annotated[
    Layout, typer.Option("--layout", help="For -n > 1: a new plan for each picture, or one plan for all.")
]
Temperature = Annotated[
    float | None, typer.Option("--temperature", help="Sampling temperature of the plan [default: the model's own].")
]
TopP = Annotated[
    float | None,
    typer.Option(
        "--top-p",
        help="Nucleus mass that the plan is sampled from; below 1 in place of the model's min-p [default: its own].",
    ),
]
DeviceName = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1, mps ... [default: the best there is].")
]
Dtype = Annotated[
    str | None, typer.Option("--dtype", help="float32, bfloat16 or float16 [default: float32 on a CPU, else bfloat16].")
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify", help="Read each picture back and try again until its quoted texts are right; else exit with 3."
    ),
]
Tries = Annotated[
    int | None, typer.Option("--tries", metavar="K", help="With --verify: at most K attempts [default: 4].")
]
BestOf = Annotated[
    int | None,
    typer.Option("--best-of", metavar="N", help="With --verify: always draw N attempts and keep the best one."),
]
Loras = Annotated[
    list[str] | None,
    typer.Option("--lora", metavar="PATH[:WEIGHT]", help="A LoRA: folder, file or owner/name; again for more."),
]
Quality = Annotated[
    Tier,
    typer.Option("--quality", help="Trade a measured loss for speed; exact leaves nothing out (docs/speed.md)."),
]
Offload = Annotated[
    OffloadProfile,
    typer.Option(
        "--offload",
        help="auto: by the memory there is; stage: planner and decoder take turns; block: the decoder's blocks, too; "
        "map: weights stay in the files (CPU).",
    ),
]
Quantize = Annotated[
    str | None,
    typer.Option("--quantize", metavar="KIND", help="int8, int4 or fp8 weights, or per stage: ar=int8,decoder=fp8."),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile/--no-compile",
        help="Compile the decoder: the first picture of a size waits for the compiler; for many pictures (-n).",
    ),
]
TensorParallel = Annotated[
    int,
    typer.Option(
        "--tensor-parallel-size",
        "--tp-size",
        metavar="N",
        help="Devices of this machine that share the model; each gets a process (docs/several-devices.md).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
