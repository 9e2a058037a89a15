"""A mixture of experts: a router with a correction bias and groups, experts of their own weights, shared experts.

The bias moves which experts are chosen, never how much they weigh: weights are the plain sigmoid scores of the
chosen ones. Experts are modules of their own, so that their names are those of the released files and every tensor
streams into place by itself. Source: DeepSeek-AI 2024, arXiv:2412.19437, section 2.1.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkwash.models.glm.decoder import ACTIVATIONS, GatedMLP
from inkwash.models.glm_v.config import MoETextConfig

WEIGHT_FLOOR = 1e-20  # added to the sum of the chosen scores, as the released model has it


class Router(nn.Module):
    """Which experts a token goes to, and with what weights."""

    e_score_correction_bias: Tensor

    def __init__(self, config: MoETextConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.hidden_size))
        self.register_buffer("e_score_correction_bias", torch.zeros(config.n_routed_experts, dtype=torch.float32))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (T, D) -> chosen experts (T, K) and their weights (T, K), fp32.

        fp32 island: scores of neighbouring experts differ by less than bf16 can tell.
        """
        config = self.config
        with torch.autocast(x.device.type, enabled=False):
            scores = F.linear(x.float(), self.weight.float()).sigmoid()
        chosen = self._choice(scores).topk(config.num_experts_per_tok, dim=-1, sorted=False).indices
        weights = scores.gather(1, chosen)
        if config.norm_topk_prob:
            weights = weights / (weights.sum(-1, keepdim=True) + WEIGHT_FLOOR)
        return chosen, weights * config.routed_scaling_factor

    def _choice(self, scores: Tensor) -> Tensor:
        """Scores to choose by (T, E): corrected by the bias, and -inf outside the best groups."""
        config = self.config
        choice = scores + self.e_score_correction_bias.float()
        if config.n_group == 1:
            return choice
        grouped = choice.unflatten(-1, (config.n_group, -1))  # (T, G, E / G)
        best = grouped.topk(2, dim=-1).values.sum(-1).topk(config.topk_group, dim=-1).indices
        open_groups = torch.zeros_like(grouped[..., 0], dtype=torch.bool).scatter_(1, best, True)
        return grouped.masked_fill(~open_groups[..., None], float("-inf")).flatten(1)


class MixtureOfExperts(nn.Module):
    def __init__(self, config: MoETextConfig) -> None:
        super().__init__()
        width, inner, activation = config.hidden_size, config.moe_intermediate_size, ACTIVATIONS[config.hidden_act]
        self.experts = nn.ModuleList([GatedMLP(width, inner, activation) for _ in range(config.n_routed_experts)])
        self.gate = Router(config)
        self.shared_experts = GatedMLP(width, inner * config.n_shared_experts, activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D): every token's chosen experts by weight, and the shared ones."""
        tokens = x.flatten(0, 1)
        chosen, weights = self.gate(tokens)
        routed: Tensor = self._routed(tokens, chosen, weights).view_as(x)
        shared: Tensor = self.shared_experts(x)
        return routed + shared

    def _routed(self, tokens: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Tokens sorted by expert, one product per expert that any token chose."""
        order = chosen.flatten().argsort(stable=True)
        counts = torch.bincount(chosen.flatten(), minlength=len(self.experts)).tolist()
        rows = order // chosen.shape[1]
        gathered = tokens[rows].split(counts)
        outputs = [expert(part) for expert, part in zip(self.experts, gathered, strict=True) if part.shape[0]]
        weighted = torch.cat(outputs) * weights.flatten()[order][:, None]
        return torch.zeros_like(tokens).index_add_(0, rows, weighted.to(tokens.dtype))
