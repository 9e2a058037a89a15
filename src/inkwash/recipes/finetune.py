"""Fine-tuning on a user's own pictures: `inkwash train finetune --set data=FOLDER [--set key=value ...]`.

`data` is a folder of pictures with captions, a JSONL file, or a folder that `inkwash data encode` wrote. The result is
a LoRA in the PEFT file format, one folder for each network below `work`/lora, for `inkwash generate --lora`; with
`--set method=full` a whole checkpoint in `work`/checkpoint, for `inkwash generate --model`. Under torchrun the
processes share every batch; the first encodes the pictures and writes the result.
"""

from __future__ import annotations

import gc
from pathlib import Path

import torch
from torch import Tensor, nn

from inkwash.core.device import pick_device
from inkwash.core.errors import ConfigError
from inkwash.data.buckets import Buckets
from inkwash.data.encode import is_shards
from inkwash.data.encoded import AR_FIELDS, DECODER_FIELDS, ShardBatches
from inkwash.data.folder import read_source
from inkwash.data.shards import ShardSet
from inkwash.models.glm_image.weights import GlmImageParts, load_pipeline_parts, save_pipeline_parts
from inkwash.models.registry import resolve
from inkwash.recipes.encode import checkpoint_fingerprints, encode_examples
from inkwash.recipes.trained import print_result
from inkwash.train.finetune import Tuning, tune_ar, tune_decoder
from inkwash.train.lock import lock_folder
from inkwash.train.lora import LoRA, join_for_diffusers, save_adapter
from inkwash.train.parallel import Ranks, finish, first_does, full_state, start

PARTS = {"both": ("ar", "decoder"), "ar": ("ar",), "decoder": ("decoder",)}
METHODS = ("lora", "full")
FOLDERS = {"ar": "vision_language_encoder", "decoder": "transformer"}


def finetune(
    work: Path = Path("work/finetune"),
    data: Path = Path(),
    model: str = "nano",
    parts: str = "both",
    method: str = "lora",
    device: str = "",
    side: int = 0,
    max_skipped: float = 0.1,
    seed: int = 0,
    lora: LoRA = LoRA(),  # noqa: B008 (frozen)
    ar: Tuning = Tuning(steps=200),  # noqa: B008
    decoder: Tuning = Tuning(steps=400),  # noqa: B008
) -> Path:
    """Encode the pictures once, tune the asked networks one after another, write the result; returns its folder.

    `side` is that of a square canvas in px (0: the checkpoint's own), `parts` both, ar or decoder.
    """
    if data == Path():
        raise ConfigError("Fine-tuning needs data: add --set data=FOLDER (pictures with captions) or a .jsonl file.")
    if parts not in PARTS:
        raise ConfigError(f"--set parts={parts}: parts must be one of {', '.join(PARTS)}.")
    if method not in METHODS:
        raise ConfigError(f"--set method={method}: method must be one of {', '.join(METHODS)}.")
    ranks, place = start(pick_device(device or None))
    settings = {"ar": ar, "decoder": decoder}
    for part in PARTS[parts]:
        ranks.mine(settings[part].batch)  # a batch that cannot be shared is refused before anything is encoded
    lock_folder(work)
    shards = first_does(ranks, lambda: _shards(work, data, model, side, max_skipped, place))
    checkpoint = first_does(ranks, lambda: resolve(model))  # which may download it
    adapters = lora if method == "lora" else None
    dtype = torch.bfloat16 if adapters is not None and place.type != "cpu" else torch.float32
    loaded = load_pipeline_parts(checkpoint, dtype=dtype)
    check_codes(shards, loaded)
    states: dict[str, dict[str, Tensor]] = {}
    for part in PARTS[parts]:
        torch.manual_seed(seed)
        fields = AR_FIELDS if part == "ar" else DECODER_FIELDS
        batch, multiple = settings[part].batch, ranks.data
        make = ShardBatches(folder=shards, batch=batch, fields=fields, seed=seed, multiple=multiple)
        tuned = _tune(part, loaded, make, work / part, settings[part], place, adapters, ranks)
        if adapters is None:
            states[part] = full_state(tuned, ranks, first_only=True)
        elif ranks.first:
            (work / "lora").mkdir(parents=True, exist_ok=True)
            save_adapter(tuned, work / "lora" / FOLDERS[part], base=model)
        del tuned
        delattr(loaded, part)
        gc.collect()  # makes room for the next network
    del loaded
    if adapters is None:
        out = first_does(ranks, lambda: _write_checkpoint(work / "checkpoint", checkpoint, states))
    else:
        out = work / "lora"
        if ranks.first:
            join_for_diffusers(out)
    finish(ranks)
    if ranks.first:
        print_result(out, "generate PROMPT", adapter=adapters is not None)
    return out


def _tune(
    part: str,
    loaded: GlmImageParts,
    make: ShardBatches,
    folder: Path,
    config: Tuning,
    device: torch.device,
    lora: LoRA | None,
    ranks: Ranks,
) -> nn.Module:
    if part == "ar":
        return tune_ar(loaded.ar, make, folder, config, device=device, lora=lora, ranks=ranks)
    networks = loaded.decoder, loaded.glyph, loaded.scheduler
    return tune_decoder(*networks, make, folder, config, device=device, lora=lora, ranks=ranks)


def _write_checkpoint(out: Path, checkpoint: Path, states: dict[str, dict[str, Tensor]]) -> Path:
    """The checkpoint anew, with the tuned weights in the place of its own."""
    deferred = [FOLDERS[part] for part in states]
    parts = load_pipeline_parts(checkpoint, deferred=deferred)
    for part, state in states.items():
        getattr(parts, part).load_state_dict(state, assign=True)
    return save_pipeline_parts(parts, out, dtype=torch.bfloat16)


def _shards(work: Path, data: Path, model: str, side: int, max_skipped: float, device: torch.device) -> Path:
    """The folder of encoded data: the given one, or `work`/shards made from pictures."""
    if data.is_dir() and is_shards(data):
        return data
    out = work / "shards"
    try:
        buckets = Buckets(sides=(side,)) if side else None
    except ValueError as error:
        raise ConfigError(f"--set side={side}: {error}.") from error
    outcome = encode_examples(read_source(data), out, model, device=device, buckets=buckets, max_skipped=max_skipped)
    print(f"{outcome.samples} pictures encoded, {len(outcome.skipped)} skipped", flush=True)
    return out


def check_codes(shards: Path, parts: GlmImageParts) -> None:
    """Raise ConfigError when data was encoded by other networks than those about to learn from it."""
    stored, expected = (
        ShardSet(shards).meta,
        checkpoint_fingerprints(parts.ar.model.vqmodel, parts.vae, parts.processor),
    )
    for what, value in expected.items():
        if stored.get(what) != value:
            raise ConfigError(
                f"{shards} was encoded with another {what} than this checkpoint's: encode the data again."
            )
