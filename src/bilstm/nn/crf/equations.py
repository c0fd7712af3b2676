"""The CRF as one reads it: path scores, sums over all paths and best paths, forward only; autograd makes gradients.

Right by definition, in any floating type and on any device. Knows tensors; knows no module, no errors and no speed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bilstm.nn.lstm.equations import valid_steps


class Chain(NamedTuple):
    """What a CRF computes upon; any number may be −inf, which forbids it, and all arguments below are these."""

    emissions: Tensor  # (B, T, K); what stands at or after a row's length never matters, NaN included
    lengths: Tensor  # (B,) int64 on the CPU, each in 0…T
    transitions: Tensor  # (K, K), from i to j
    start: Tensor  # (K,)
    end: Tensor  # (K,)


def path_score(
    emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor, tags: Tensor
) -> Tensor:
    """The score (B,) of the path tags (B, T): start + emissions + transitions + end; 0 for a row without steps."""
    if emissions.shape[1] == 0:
        return emissions.new_zeros(emissions.shape[0])
    valid = valid_steps(lengths, emissions)  # (B, T)
    tags = tags.masked_fill(~valid, 0)
    here = emissions.gather(2, tags.unsqueeze(2)).squeeze(2)  # (B, T)
    here = torch.where(valid, here, 0).sum(1)
    steps = torch.where(valid[:, 1:], transitions[tags[:, :-1], tags[:, 1:]], 0).sum(1)
    last = tags.gather(1, _last(lengths, tags).unsqueeze(1)).squeeze(1)  # (B,)
    return torch.where(valid[:, 0], start[tags[:, 0]] + here + steps + end[last], 0)


def log_partition(emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """log Z (B,): the logarithm of the sum over all paths of exp(score); −inf where all paths are forbidden."""
    if emissions.shape[1] == 0:
        return emissions.new_zeros(emissions.shape[0])
    valid, emissions = _cleaned(emissions, lengths)
    final = _forward(emissions, valid, transitions, start)[-1]
    return torch.where(valid[:, 0], log_sum_exp(final + end, 1), 0)


def loss(emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor, tags: Tensor) -> Tensor:
    """The negative log-likelihood log Z − score (B,) of tags (B, T); +inf with gradient 0 where they are forbidden."""
    score = path_score(emissions, lengths, transitions, start, end, tags)
    log_z = log_partition(emissions, lengths, transitions, start, end)
    forbidden = score == -torch.inf  # where Z is 0, every path is
    return torch.where(forbidden, torch.inf, log_z.masked_fill(forbidden, 0) - score.masked_fill(forbidden, 0))


def marginals(emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """The probability of each tag at each step, (B, T, K); zero on padding and in rows without an allowed path."""
    if emissions.shape[1] == 0:
        return torch.zeros_like(emissions)
    valid, emissions = _cleaned(emissions, lengths)
    forward = _forward(emissions, valid, transitions, start)  # T of (B, K)
    last = _last(lengths, emissions)
    backward = [end.expand_as(forward[0])]  # of the steps from the last to the first
    for t in reversed(range(emissions.shape[1] - 1)):
        ahead = (emissions[:, t + 1] + backward[-1]).unsqueeze(1)  # (B, 1, K)
        backward.append(torch.where((last == t).unsqueeze(1), end, log_sum_exp(transitions + ahead, 2)))
    log_z = log_sum_exp(forward[-1] + end, 1)[:, None, None]
    possible = valid.unsqueeze(2) & (log_z > -torch.inf)  # (B, T, 1)
    paths = torch.stack(forward, 1) + torch.stack(backward[::-1], 1)  # (B, T, K)
    return torch.where(possible, (paths - log_z.masked_fill(log_z == -torch.inf, 0)).exp(), 0)


def viterbi(
    emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """The best path (B, T) and its score (B,): of equals the lowest tag, from the last step backwards."""
    tags, scores = best(emissions, lengths, transitions, start, end, 1)
    return tags[:, 0], scores[:, 0]


def best(
    emissions: Tensor, lengths: Tensor, transitions: Tensor, start: Tensor, end: Tensor, n: int
) -> tuple[Tensor, Tensor]:
    """The n best paths (B, n, T), 0 on padding, and their scores (B, n), −inf where there are fewer paths than n."""
    (B, T, K), empty = emissions.shape, torch.full((n - 1,), -torch.inf, dtype=emissions.dtype, device=emissions.device)
    nothing = torch.cat([empty.new_zeros(1), empty])  # the empty path is the only one of a row without steps
    if T == 0:
        return torch.zeros(B, n, 0, dtype=torch.int64, device=emissions.device), nothing.expand(B, n)
    valid, emissions = _cleaned(emissions, lengths)
    scores = torch.cat([(start + emissions[:, 0]).unsqueeze(2), empty.expand(B, K, n - 1)], 2)  # (B, K, n)
    stay, origins = torch.arange(K * n, device=valid.device).expand(B, K * n), []  # an origin is tag · n + rank
    for t in range(1, T):
        through = scores.flatten(1).unsqueeze(2) + transitions.repeat_interleave(n, dim=0)  # (B, K·n, K)
        top, origin = through.sort(dim=1, descending=True, stable=True)  # stable: of equals the lowest tag
        alive = valid[:, t, None]  # (B, 1)
        reached = top[:, :n].transpose(1, 2) + emissions[:, t].unsqueeze(2)  # (B, K, n)
        scores = torch.where(alive.unsqueeze(2), reached, scores)
        origins.append(torch.where(alive, origin[:, :n].transpose(1, 2).flatten(1), stay))
    scores, at = (scores + end.unsqueeze(1)).flatten(1).sort(dim=1, descending=True, stable=True)
    scores, at = torch.where(valid[:, :1], scores[:, :n], nothing), at[:, :n]  # (B, n)
    path = [at // n]
    for origin in reversed(origins):
        at = origin.gather(1, at)
        path.append(at // n)
    tags = torch.stack(path[::-1], 2)  # (B, n, T)
    return tags.masked_fill(~valid.unsqueeze(1) | (scores == -torch.inf).unsqueeze(2), 0), scores


def log_sum_exp(x: Tensor, dim: int) -> Tensor:
    """log Σ exp(x); −inf where every x is, and then, unlike torch's, with the gradient 0 rather than NaN."""
    highest = x.detach().amax(dim, keepdim=True)
    highest = torch.where(highest.isfinite(), highest, 0)
    total = (x - highest).exp().sum(dim)
    empty = total == 0
    return torch.where(empty, -torch.inf, total.masked_fill(empty, 1).log()) + highest.squeeze(dim)


def _forward(emissions: Tensor, valid: Tensor, transitions: Tensor, start: Tensor) -> list[Tensor]:
    """For each step (B, K): log of the sum over the paths that end there in each tag; a row that is over stays."""
    first, *others = emissions.unbind(1)  # the gradient of emissions[:, t] would be as large as all emissions
    forward = [start + first]
    for here, alive in zip(others, valid.unsqueeze(2).unbind(1)[1:], strict=True):  # (B, K), (B, 1)
        arrived = log_sum_exp(forward[-1].unsqueeze(2) + transitions, 1) + here
        forward.append(torch.where(alive, arrived, forward[-1]))
    return forward


def _cleaned(emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Which steps exist, (B, T), and the emissions with zeros elsewhere."""
    valid = valid_steps(lengths, emissions)
    return valid, emissions.masked_fill(~valid.unsqueeze(2), 0)


def _last(lengths: Tensor, like: Tensor) -> Tensor:
    """(B,): the last step of each row; 0 where there is none."""
    return (lengths - 1).clamp(min=0).to(like.device)
