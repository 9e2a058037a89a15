"""Several processes under torchrun: FSDP2 shards of the weights, tensor parallelism inside blocks, parts of the batch.

Applied from outside to the single-device networks. Every process holds a shard of each weight and a part of each
batch; with `tensor` > 1 that many neighbours share every matrix of a block, and the same part of the batch. One
process is the same code with nothing applied.
Sources: FSDP2, torch.distributed.fsdp.fully_shard; tensor parallelism, arXiv:1909.08053.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from inkwash.core.errors import ConfigError, InkwashError
from inkwash.train.config import NetworkTraining
from inkwash.train.muon import is_sharded

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import FSDPModule
    from torch.distributed.tensor import DTensor

    from inkwash.models.glm_image.ar import ARGenerator
    from inkwash.models.glm_image.decoder import Decoder
    from inkwash.models.glm_image.glyph import GlyphEncoder

T = TypeVar("T")
BACKENDS = {"cpu": "gloo", "cuda": "nccl", "xpu": "xccl", "npu": "hccl"}
PATIENCE = timedelta(days=7)  # to encode a data set or write a checkpoint takes longer than a collective's half hour


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among all of them. `mesh` is None for a single one."""

    rank: int = 0
    world: int = 1
    tensor: int = 1
    mesh: DeviceMesh | None = None  # (data, tensor)
    # Each with connections of its own: checkpoints are written by a thread of each process while all the others go on,
    # and two collective calls on one group at a time wait for each other for ever.
    files: dist.ProcessGroup | None = None
    messages: dist.ProcessGroup | None = None  # small objects of the training thread

    @property
    def first(self) -> bool:
        """Whether this process writes logs and pictures."""
        return self.rank == 0

    @property
    def data(self) -> int:
        """Over how many processes a batch is spread."""
        return self.world // self.tensor

    def mine(self, count: int) -> slice:
        """This process's rows of a batch of `count`."""
        if count % self.data:
            raise ConfigError(
                f"A batch of {count} cannot be spread over {self.data} processes: choose a batch that is a multiple."
            )
        share, place = count // self.data, self.rank // self.tensor
        return slice(place * share, (place + 1) * share)

    def total(self, value: Tensor) -> Tensor:
        """The sum of a number over the processes that hold different parts of the batch."""
        if self.mesh is None or self.data == 1:
            return value
        value = value.detach().clone()
        dist.all_reduce(value, group=self.mesh.get_group("data"))
        return value

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the first process says so; the others follow it, whatever their clocks say."""
        if self.mesh is None:
            return flag
        shared = torch.tensor(float(flag), device=device)
        dist.broadcast(shared, src=0)
        return bool(shared)


def start(device: torch.device, *, tensor: int = 1) -> tuple[Ranks, torch.device]:
    """Join the other processes that torchrun started, if it did; returns this process's own device.

    Once in a process, however many networks it trains: a second group would find the first one's keys.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        if tensor > 1:
            raise ConfigError(
                f"tensor={tensor} needs as many processes: start with torchrun --nproc-per-node {tensor}."
            )
        return Ranks(), device
    if world % tensor:
        raise ConfigError(f"tensor={tensor} does not divide the {world} processes.")
    if device.type != "cpu":
        device = torch.device(device.type, int(os.environ.get("LOCAL_RANK", "0")))
        torch.accelerator.set_device_index(device.index)
    from torch.distributed.device_mesh import init_device_mesh

    if not dist.is_initialized():
        backend = BACKENDS.get(device.type)
        if backend is None:
            raise ConfigError(f"Training on several {device.type} devices is not possible: use one, or the CPU.")
        dist.init_process_group("gloo" if backend == "gloo" else f"cpu:gloo,{device.type}:{backend}")
    mesh = init_device_mesh(device.type, (world // tensor, tensor), mesh_dim_names=("data", "tensor"))
    files, messages = (dist.new_group(backend="gloo", timeout=PATIENCE) for _ in range(2))
    assert files is not None and messages is not None
    rank = dist.get_rank()
    return Ranks(rank=rank, world=world, tensor=tensor, mesh=mesh, files=files, messages=messages), device


def finish(ranks: Ranks) -> None:
    """Leave the group; the first process may still write, so all wait for it."""
    if ranks.mesh is not None:
        dist.barrier(group=ranks.messages)
        dist.destroy_process_group()


def first_does(ranks: Ranks, work: Callable[[], T]) -> T:
    """What `work` returns, done by the first process while the others wait; what fails there fails in all of them."""
    if ranks.mesh is None:
        return work()
    outcome: list[Any] = [None, None]
    failure: Exception | None = None
    if ranks.first:
        try:
            outcome[0] = work()
        except Exception as error:
            failure = error
            outcome[1] = error.message if isinstance(error, InkwashError) else f"The first process failed: {error!r}."
    dist.broadcast_object_list(outcome, src=0, group=ranks.messages)
    if failure is not None:
        raise failure
    if outcome[1] is not None:
        raise InkwashError(outcome[1])
    return cast("T", outcome[0])


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter], ranks: Ranks) -> None:
    """The mean over processes of the gradients of whole weights, such as adapters; shards have theirs already."""
    if ranks.mesh is None or ranks.data == 1:
        return
    whole = [parameter for parameter in parameters if not is_sharded(parameter)]
    if not whole:
        return
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in whole]  # rows may leave some out
    joined = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(joined, group=ranks.mesh.get_group("data"))
    joined /= ranks.data
    for parameter, mean in zip(whole, joined.split([grad.numel() for grad in grads]), strict=True):
        parameter.grad = mean.view_as(parameter)


def single_process_only(stage: str) -> None:
    """Refuse torchrun for what knows nothing of it, such as a stage that keeps running sums over whole batches."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(f"The {stage} takes one process: start it without torchrun.")


def prepare_ar(model: ARGenerator, ranks: Ranks, config: NetworkTraining) -> None:
    """Compilation, recomputation, tensor parallelism and shards for the AR generator's blocks."""
    blocks = list(model.model.language_model.layers)
    if ranks.tensor > 1:
        text = model.config.text_config
        _require_divisible("num_key_value_heads", text.num_key_value_heads, ranks.tensor)
        _require_divisible("intermediate_size", text.intermediate_size, ranks.tensor)
        for block in blocks:
            _permute_halves(_gate_up(block), ranks.tensor)
            columns = [*(f"self_attn.{name}_proj" for name in "qkv"), "mlp.gate_up_proj"]
            _share_matrices(block, ranks, columns, rows=["self_attn.o_proj", "mlp.down_proj"])
    frozen = {*model.model.visual.parameters(), *model.model.vqmodel.parameters()}
    _finish_blocks(model, blocks, ranks, config, ignored=frozen, also=[model.lm_head])


def prepare_decoder(decoder: Decoder, glyph: GlyphEncoder, ranks: Ranks, config: NetworkTraining) -> None:
    """The same for the diffusion decoder; the glyph encoder is small and only sharded."""
    blocks = list(decoder.transformer_blocks)
    if ranks.tensor > 1:
        _require_divisible("num_attention_heads", decoder.config.num_attention_heads, ranks.tensor)
        for block in decoder.blocks:
            block.attn1.heads = decoder.config.num_attention_heads // ranks.tensor
            columns = [*(f"attn1.to_{name}" for name in "qkv"), "ff.net.0.proj"]
            _share_matrices(block, ranks, columns, rows=["attn1.to_out.0", "ff.net.2"])
    if ranks.data > 1:
        for block in decoder.blocks:
            block.forward = partial(_return_kept, block.forward)  # type: ignore[method-assign]
    _finish_blocks(decoder, blocks, ranks, config)
    if ranks.data > 1:
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        assert ranks.mesh is not None
        register_fsdp_forward_method(decoder, "encode_reference")
        for block in decoder.blocks:
            block.register_forward_pre_hook(_hide_list, prepend=True, with_kwargs=True)
            block.register_forward_hook(_hand_over, with_kwargs=True)
        fully_shard(glyph, mesh=ranks.mesh["data"])


def _share_matrices(block: nn.Module, ranks: Ranks, columns: Sequence[str], rows: Sequence[str]) -> None:
    """Tensor parallelism: each process has some output channels of `columns` and some input channels of `rows`."""
    from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

    assert ranks.mesh is not None
    plan: dict[str, ParallelStyle] = {name: ColwiseParallel() for name in columns}
    plan |= {name: RowwiseParallel() for name in rows}
    parallelize_module(block, ranks.mesh["tensor"], plan)


def _return_kept(forward: Callable[..., Any], *args: Any, keep: list[Any] | None = None, **named: Any) -> Any:
    """A decoder block whose kept keys and values are outputs, too.

    Shards gather a block's weights again when a gradient reaches its outputs; keys and values that leave it through
    a list would come back to weights that are not there.
    """
    if keep is None:
        return forward(*args, **named)
    kept: list[Any] = []
    image, glyph = forward(*args, keep=kept, **named)
    return image, glyph.clone(), *kept[0]


def _hide_list(_module: nn.Module, args: Any, named: dict[str, Any]) -> Any:
    """Pass the list's `append` alone: shards copy a list that holds tensors with gradients, and would fill the copy."""
    return None if named.get("keep") is None else (args, {**named, "keep": named["keep"].append})


def _hand_over(_module: nn.Module, _args: Any, named: dict[str, Any], output: Any) -> Any:
    """Put what `_return_kept` added to the outputs where the caller expects it."""
    if named.get("keep") is None:
        return None
    image, glyph, k, v = output
    named["keep"]((k, v))
    return image, glyph


def _finish_blocks(
    model: nn.Module,
    blocks: Sequence[nn.Module],
    ranks: Ranks,
    config: NetworkTraining,
    *,
    ignored: set[nn.Parameter] | None = None,
    also: Sequence[nn.Module] = (),
) -> None:
    if config.recompute:
        for block in blocks:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    if config.compile:
        for block in blocks:
            block.compile(dynamic=False)
    if ranks.data == 1:
        return
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    assert ranks.mesh is not None
    options: dict[str, Any] = {"mesh": ranks.mesh["data"]}
    if ranks.mesh.device_type != "cpu" and config.precision != "fp32":
        options["mp_policy"] = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for module in (*blocks, *also):
        fully_shard(module, **options)
    fully_shard(model, ignored_params=ignored, **options)
    _prefetch([cast("FSDPModule", block) for block in blocks], config.prefetch)


def _prefetch(blocks: Sequence[FSDPModule], ahead: int) -> None:
    """Gather the weights of the next blocks while one computes, in both directions."""
    for i, block in enumerate(blocks):
        block.set_modules_to_forward_prefetch(list(blocks[i + 1 : i + 1 + ahead]))
        block.set_modules_to_backward_prefetch(list(reversed(blocks[max(0, i - ahead) : i])))


def _require_divisible(name: str, value: int, tensor: int) -> None:
    if value % tensor:
        raise ConfigError(f"tensor={tensor} does not divide {name}={value}.")


def _gate_up(block: nn.Module) -> nn.Parameter:
    return block.get_parameter("mlp.gate_up_proj.weight")


@torch.no_grad()
def _permute_halves(weight: nn.Parameter, parts: int) -> None:
    """Rows [gate, up] become [gate 1, up 1, gate 2, up 2 ...]: every process's rows are then a gate and its up."""
    inner = weight.shape[0] // 2 // parts
    weight.copy_(weight.view(2, parts, inner, -1).transpose(0, 1).reshape_as(weight))


def _restore_halves(weight: Tensor, parts: int) -> Tensor:
    inner = weight.shape[0] // 2 // parts
    return weight.view(parts, 2, inner, -1).transpose(0, 1).reshape_as(weight)


def full_state(module: nn.Module, ranks: Ranks, *, first_only: bool = False) -> dict[str, Tensor]:
    """The whole weights under their own names, on the CPU; every process has to call it.

    With `first_only` the others get nothing, and so need no memory for it.
    """
    state: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        whole = cast("DTensor", value).full_tensor() if is_sharded(value) else value
        if ranks.tensor > 1 and name.endswith("mlp.gate_up_proj.weight"):
            whole = _restore_halves(whole, ranks.tensor)
        if ranks.first or not first_only:
            state[name] = whole.detach().cpu()
    return state
