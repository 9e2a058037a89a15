"""Stand-ins for networks that are too large to be timed as they are: fewer layers, fewer heads, a smaller picture.

Everything that counts keeps its shape: heads stay as wide, a feed-forward layer as many times wider than its input.
What a stand-in takes is multiplied by how much more arithmetic the network does on the picture that is asked for: on a
CPU, where a product of a few hundred rows keeps all cores busy, seconds follow from that. An accelerator is not filled
by small products, and its memory is not that of the process, so only layers are left out there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inkwash.engine.memory import weight_bytes
from inkwash.models.glm_image.vae import AutoencoderKL
from inkwash.models.weights import parameters_on_meta

if TYPE_CHECKING:
    import torch

    from inkwash.engine.memory import ForecastInput, Sizes

SHORT, SHORTEST = (2, 4), (1, 2)  # layers of two short networks
NARROW = 1, 4  # of two narrow ones
NARROW_BYTES = 80 * 10**6  # of the longer of them: above a processor's cache, far below its memory
SIDES = 256, 128  # of the pictures that narrow networks draw
VAE_SIDE = 64
REPEATS = 3  # of what is timed as it is
STEPS = 4


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """What is timed in place of a network, and what its seconds are multiplied by."""

    sizes: Sizes
    work: ForecastInput
    layers: int = 1
    short: tuple[int, int] | None = None  # layers of two short networks; None is all of them
    times: float = 1.0

    @property
    def repeats(self) -> int:
        """How often it is timed: an estimate from a small one is not worth more than one repetition."""
        return REPEATS if self.times == 1.0 else 1


def stand_in_for_ar(sizes: Sizes, work: ForecastInput, dtype: torch.dtype, device: torch.device, whole: int) -> StandIn:
    """Seconds of drawing and reading tokens follow the matrices, which a pass reads and multiplies once."""
    text = sizes.ar.text_config
    layer = text.hidden_size * (3 * text.intermediate_size + 2 * text.hidden_size) * dtype.itemsize
    made = StandIn(sizes=sizes, work=work, layers=text.num_hidden_layers)
    if layer * text.num_hidden_layers <= whole:
        return made
    if layer * SHORT[1] <= whole or device.type != "cpu":
        return replace(made, short=_short(layer, whole))
    part = _part(layer, text.num_attention_heads, text.hidden_size, text.intermediate_size, text.vision_vocab_size)
    narrow = replace(
        text,
        hidden_size=text.hidden_size // part,
        intermediate_size=text.intermediate_size // part,
        num_attention_heads=text.num_attention_heads // part,
        num_key_value_heads=_divisor(text.num_attention_heads // part, text.num_key_value_heads),
        vision_vocab_size=text.vision_vocab_size // part,
    )
    config = replace(sizes.ar, text_config=narrow, vq_config=replace(sizes.ar.vq_config, num_embeddings=1))
    small = replace(work, height=min(work.height, SIDES[0]), width=min(work.width, SIDES[1]))
    return replace(made, sizes=replace(sizes, ar=config), work=small, short=NARROW, times=part**2)


def stand_in_for_decoder(
    sizes: Sizes, work: ForecastInput, dtype: torch.dtype, device: torch.device, whole: int
) -> StandIn:
    """Seconds of a step follow its multiplications."""
    config = sizes.decoder
    layer = 12 * config.width**2 * dtype.itemsize
    made = StandIn(sizes=sizes, work=work, layers=config.num_layers)
    if layer * config.num_layers <= whole:
        return made
    if layer * SHORT[1] <= whole or device.type != "cpu":
        return replace(made, short=_short(layer, whole))
    part = _part(layer, config.num_attention_heads)
    heads = config.num_attention_heads // part
    narrow = replace(sizes, decoder=replace(config, num_attention_heads=heads, prior_vq_quantizer_codebook_size=1))
    height, width = min(work.height, SIDES[0]), min(work.width, SIDES[1])
    small = replace(work, height=height, width=width, steps=min(work.steps, STEPS), pictures=1, reference=None)
    times = _multiplications(sizes, work) / _multiplications(narrow, small)
    return replace(made, sizes=narrow, work=small, short=NARROW, times=times)


def stand_in_for_vae(
    sizes: Sizes, work: ForecastInput, dtype: torch.dtype, device: torch.device, whole: int
) -> StandIn:
    """Seconds of a convolution follow its channels squared and the picture's area."""
    made = StandIn(sizes=sizes, work=work)
    with parameters_on_meta():
        size = weight_bytes(AutoencoderKL(sizes.vae).to("meta", dtype))
    if size <= whole or device.type != "cpu":
        return made
    part = _part(size // NARROW[1], *(count // sizes.vae.norm_num_groups for count in sizes.vae.block_out_channels))
    channels = tuple(count // part for count in sizes.vae.block_out_channels)
    side = min(VAE_SIDE, work.height, work.width)
    area = work.height * work.width * work.pictures / side**2
    return replace(
        made,
        sizes=replace(sizes, vae=replace(sizes.vae, block_out_channels=channels)),
        work=replace(work, height=side, width=side, pictures=1),
        times=part**2 * area,
    )


def _short(layer: int, whole: int) -> tuple[int, int]:
    return SHORT if layer * SHORT[1] <= 2 * whole else SHORTEST


def _part(layer: int, *counts: int) -> int:
    """The smallest power of two by which the counts divide and that makes a narrow network small enough."""
    part = 1
    while NARROW[1] * layer > NARROW_BYTES * part**2 and all(count % (2 * part) == 0 for count in counts):
        part *= 2
    return part


def _divisor(count: int, wanted: int) -> int:
    return next(number for number in range(min(wanted, count), 0, -1) if count % number == 0)


def _multiplications(sizes: Sizes, work: ForecastInput) -> float:
    """Of all blocks in all steps of a call, and once for a reference picture."""
    width, cell = sizes.decoder.width, sizes.vae.scale_factor * sizes.decoder.patch_size
    tokens = work.height // cell * (work.width // cell)
    other = 0 if work.reference is None else work.reference[0] // cell * (work.reference[1] // cell)
    rows = 2 if work.guidance else 1
    step = rows * _block(width, tokens, tokens) + 2 * tokens * other * width
    return work.pictures * work.steps * step + _block(width, other, other)


def _block(width: int, queries: int, keys: int) -> float:
    return 12 * width**2 * queries + 2 * queries * keys * width
