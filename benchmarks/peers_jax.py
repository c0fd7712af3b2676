"""The layer in JAX, for benchmarks/layer.py: a scan for each direction, lengths by masks, gradients by jax.grad.

Knows JAX and the weights of a torch layer. The products with the input are made before the scan, all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from torch import nn

from problem import Problem


def function(problem: Problem) -> Callable[[], list[Any]]:
    """The compiled layer as a call that waits for its result: [output], or the gradient of every weight."""
    layer = problem.case.layer(nn.LSTM)
    weights = [jnp.asarray(weight.detach().numpy()) for weight in layer.parameters()]
    x, d_output = jnp.asarray(problem.x.numpy()), jnp.asarray(problem.d_output.numpy())
    valid = None
    if problem.lengths is not None:
        valid = jnp.asarray(np.arange(problem.case.time)[:, None, None] < problem.lengths.numpy()[None, :, None])

    def forward(weights: list[Any], x: Any) -> Any:
        x = x.transpose(1, 0, 2)  # (T, B, F)
        for first in range(0, len(weights), 8):
            ways = [weights[first : first + 4], weights[first + 4 : first + 8]]
            x = jnp.concatenate([_direction(x, valid, *way, reverse=d == 1) for d, way in enumerate(ways)], axis=2)
        return x.transpose(1, 0, 2)

    if problem.training:
        gradient = jax.jit(jax.grad(lambda weights, x, d_output: (forward(weights, x) * d_output).sum()))
        return lambda: jax.block_until_ready(gradient(weights, x, d_output))
    compiled = jax.jit(forward)
    return lambda: [jax.block_until_ready(compiled(weights, x))]


def _direction(x: Any, valid: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *, reverse: bool) -> Any:
    """One direction over x (T, B, F) → (T, B, H). In reverse the padding comes first and leaves the state at zero."""
    zero = jnp.zeros((x.shape[1], w_hh.shape[1]))

    def step(state: Any, now: Any) -> Any:
        (h, c), (gates, alive) = state, now
        i, f, g, o = jnp.split(gates + h @ w_hh.T, 4, axis=1)
        new_c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        new_h = jax.nn.sigmoid(o) * jnp.tanh(new_c)
        if alive is None:
            return (new_h, new_c), new_h
        return (jnp.where(alive, new_h, h), jnp.where(alive, new_c, c)), jnp.where(alive, new_h, 0)

    _, output = jax.lax.scan(step, (zero, zero), (x @ w_ih.T + b_ih + b_hh, valid), reverse=reverse)
    return output
