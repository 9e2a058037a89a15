"""Fine-tuning on a user's own pictures: `inkwash train finetune --set data=FOLDER [--set key=value ...]`.

`data` is a folder of pictures with captions, a JSONL file, or a folder that `inkwash data encode` wrote. The result is
a LoRA in the PEFT file format, one folder for each network below `work`/lora, for `inkwash generate --lora`; with
`--set method=full` a whole checkpoint in `work`/checkpoint, for `inkwash generate --model`. Under torchrun the
processes share every batch; the first encodes the pictures and writes the result.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from functools import partial
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


def finetune() -> Finetune:
    """A model that draws learns from pictures with captions: a LoRA, or the whole checkpoint."""
    return Finetune()


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """A fine-tuning run.

    `side` is that of a square canvas in px (0: the checkpoint's own), `parts` both, ar or decoder; above `max_skipped`,
    a share of the pictures, nothing is trained.
    """

    work: Path = Path("work/finetune")
    data: Path = Path()
    model: str = "nano"
    parts: str = "both"
    method: str = "lora"
    device: str = ""
    side: int = 0
    max_skipped: float = 0.1
    seed: int = 0
    lora: LoRA = field(default_factory=LoRA)
    ar: Tuning = field(default_factory=partial(Tuning, steps=200))
    decoder: Tuning = field(default_factory=partial(Tuning, steps=400))

    def run(self) -> Path:
        """Encode the pictures once, tune the asked networks one after another, write the result; returns its folder."""
        self._check()
        ranks, place = start(pick_device(self.device or None))
        for part in PARTS[self.parts]:
            ranks.mine(self._tuning(part).batch)  # one that cannot be shared is refused before anything is encoded
        lock_folder(self.work)
        shards = first_does(ranks, lambda: self._shards(place))
        checkpoint = first_does(ranks, lambda: resolve(self.model))  # which may download it
        adapters = self.method == "lora"
        dtype = torch.bfloat16 if adapters and place.type != "cpu" else torch.float32
        loaded = load_pipeline_parts(checkpoint, dtype=dtype)
        check_codes(shards, loaded)
        states: dict[str, dict[str, Tensor]] = {}
        for part in PARTS[self.parts]:
            tuned = self._tune(part, loaded, shards, place, ranks)
            if not adapters:
                states[part] = full_state(tuned, ranks, first_only=True)
            elif ranks.first:
                (self.work / "lora").mkdir(parents=True, exist_ok=True)
                save_adapter(tuned, self.work / "lora" / FOLDERS[part], base=self.model)
            del tuned
            delattr(loaded, part)
            gc.collect()  # makes room for the next network
        del loaded
        if adapters:
            out = self.work / "lora"
            if ranks.first:
                join_for_diffusers(out)
        else:
            out = first_does(ranks, lambda: _write_checkpoint(self.work / "checkpoint", checkpoint, states))
        finish(ranks)
        if ranks.first:
            print_result(out, "generate PROMPT", adapter=adapters)
        return out

    def _check(self) -> None:
        """When all settings are there."""
        if self.data == Path():
            raise ConfigError(
                "Fine-tuning needs data: add --set data=FOLDER (pictures with captions) or a .jsonl file."
            )
        if self.parts not in PARTS:
            raise ConfigError(f"--set parts={self.parts}: parts must be one of {', '.join(PARTS)}.")
        if self.method not in METHODS:
            raise ConfigError(f"--set method={self.method}: method must be one of {', '.join(METHODS)}.")

    def _tuning(self, part: str) -> Tuning:
        return self.ar if part == "ar" else self.decoder

    def _shards(self, device: torch.device) -> Path:
        """The folder of encoded data: the given one, or `work`/shards made from pictures."""
        if self.data.is_dir() and is_shards(self.data):
            return self.data
        out = self.work / "shards"
        try:
            buckets = Buckets(sides=(self.side,)) if self.side else None
        except ValueError as error:
            raise ConfigError(f"--set side={self.side}: {error}.") from error
        source, most = read_source(self.data), self.max_skipped
        outcome = encode_examples(source, out, self.model, device=device, buckets=buckets, max_skipped=most)
        print(f"{outcome.samples} pictures encoded, {len(outcome.skipped)} skipped", flush=True)
        return out

    def _tune(self, part: str, loaded: GlmImageParts, shards: Path, device: torch.device, ranks: Ranks) -> nn.Module:
        """One network, after its run in `work`/`part`."""
        torch.manual_seed(self.seed)
        config, lora = self._tuning(part), self.lora if self.method == "lora" else None
        fields = AR_FIELDS if part == "ar" else DECODER_FIELDS
        make = ShardBatches(folder=shards, batch=config.batch, fields=fields, seed=self.seed, multiple=ranks.data)
        folder = self.work / part
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
