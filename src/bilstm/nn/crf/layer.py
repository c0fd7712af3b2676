"""The CRF: a layer that scores whole sequences of tags, with rules that forbid some.

Knows parameters, rules, shapes and how mistakes are worded; computes nothing itself and knows no names of tags.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from bilstm.data.batch import Array
from bilstm.errors import DataError, ParameterError
from bilstm.nn import core
from bilstm.nn.crf import kernels
from bilstm.nn.crf.equations import Chain
from bilstm.nn.lstm.calls import Lengths, every_length
from bilstm.nn.lstm.equations import valid_steps

INITIAL = 0.1  # parameters begin within ± this: small beside emissions, so that the words decide at first


class CRF(nn.Module):
    """A linear-chain conditional random field: a probability for every sequence of tags, given scores of each tag.

    .. math::
        P(y \\mid e) = \\frac{\\exp s(y)}{\\sum_{y'} \\exp s(y')}, \\qquad
        s(y) = a_{y_0} + \\sum_{t=0}^{n-1} e_{t, y_t} + \\sum_{t=1}^{n-1} W_{y_{t-1} y_t} + z_{y_{n-1}}

    with the emissions e that a network gives and the parameters ``transitions`` W (from, to), ``start`` a and
    ``end`` z. A row of no steps has one sequence of tags, the empty one, of score 0.

    On a CPU in float32 (or less) the native kernel computes, elsewhere the equations in ``nn/crf/equations.py``;
    both in double precision. ``use_kernel`` and ``BILSTM_KERNEL`` force one, as they do for the BiLSTM; there is no
    kernel ``torch``, which means the equations here.

    Args:
        num_tags: K.
        allowed: (K, K) truth values: whether tag j may follow tag i. By default every tag may follow every tag.
        first: (K,) truth values: whether a sequence may begin with the tag; by default with any.
        last: (K,) truth values: whether it may end with the tag; by default with any.

    Raises:
        ParameterError: an argument is out of its range, or a rule has another shape or type.

    Note:
        The trap: a rule holds in training too. A sequence of tags that breaks one has probability 0, so its loss is
        +inf; its gradient is 0. Check the data against the rules, or leave them out in training.

        Rules are no part of ``state_dict``: who builds the module gives them.

    Example:
        >>> import torch
        >>> from bilstm.nn import CRF
        >>> crf = CRF(3)
        >>> emissions, tags = torch.randn(2, 4, 3), torch.tensor([[0, 1, 2, 0], [2, 2, 0, 0]])
        >>> loss = crf(emissions, tags, lengths=[4, 2])
        >>> loss.mean().backward()
        >>> loss.shape, crf.transitions.grad.shape
        (torch.Size([2]), torch.Size([3, 3]))
        >>> path, score = crf.decode(emissions, lengths=[4, 2])
        >>> path.shape, path[1, 2:].tolist()
        (torch.Size([2, 4]), [0, 0])

    Source:
        Lafferty, McCallum & Pereira 2001, Conditional Random Fields: Probabilistic Models for Segmenting and Labeling
        Sequence Data, ICML; on top of a BiLSTM: Lample, Ballesteros, Subramanian, Kawakami & Dyer 2016, Neural
        Architectures for Named Entity Recognition, NAACL.
    """

    allowed: Tensor | None
    first: Tensor | None
    last: Tensor | None

    def __init__(
        self, num_tags: int, *, allowed: Array | None = None, first: Array | None = None, last: Array | None = None
    ) -> None:
        super().__init__()
        if isinstance(num_tags, bool) or not isinstance(num_tags, int) or num_tags < 1:
            raise ParameterError(f"expected num_tags of at least 1, got {num_tags!r} (CRF)")
        self.num_tags = num_tags
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags, dtype=torch.float32))
        self.start = nn.Parameter(torch.empty(num_tags, dtype=torch.float32))
        self.end = nn.Parameter(torch.empty(num_tags, dtype=torch.float32))
        self.register_buffer("allowed", _rule("allowed", allowed, (num_tags, num_tags)), persistent=False)
        self.register_buffer("first", _rule("first", first, (num_tags,)), persistent=False)
        self.register_buffer("last", _rule("last", last, (num_tags,)), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters uniformly from ±0.1."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INITIAL, INITIAL)

    def extra_repr(self) -> str:
        """What ``repr`` says of it."""
        rules = [name for name in ("allowed", "first", "last") if getattr(self, name) is not None]
        return ", ".join([str(self.num_tags), *(f"{name}=…" for name in rules)])

    def forward(self, emissions: Tensor, tags: Tensor, lengths: Lengths = None) -> Tensor:
        """The negative log-likelihood of each row's tags: log Z − s(tags).

        Args:
            emissions: (B, T, K); what stands after a row's length changes nothing, NaN included.
            tags: (B, T) integers in 0…K−1, anything after a row's length.
            lengths: B integers in 0…T; by default every row has T steps.

        Returns:
            (B,): at least 0; 0 for a row of no steps, +inf where a rule forbids the tags. float32, or float64 where
            emissions or parameters are.

        Raises:
            DataError: emissions, tags or lengths do not fit the module or each other.
        """
        chain = self._chain(emissions, lengths)
        return kernels.log_partition(chain, _checked_tags(tags, chain)).to(_precision(chain))

    def log_partition(self, emissions: Tensor, lengths: Lengths = None) -> Tensor:
        """log Z of each row, (B,): the logarithm of the sum over all allowed sequences of exp s; −inf without one.

        Args:
            emissions: (B, T, K).
            lengths: as in ``forward``.

        Raises:
            DataError: as in ``forward``.
        """
        chain = self._chain(emissions, lengths)
        return kernels.log_partition(chain).to(_precision(chain))

    @torch.no_grad()
    def marginals(self, emissions: Tensor, lengths: Lengths = None) -> Tensor:
        """The probability of each tag at each step, all sequences considered; without gradients.

        Args:
            emissions: (B, T, K).
            lengths: as in ``forward``.

        Returns:
            (B, T, K): each step of a row sums to 1; zero after its length, and in a row without an allowed sequence.

        Raises:
            DataError: as in ``forward``.
        """
        chain = self._chain(emissions, lengths)
        return kernels.marginals(chain).to(_precision(chain))

    @torch.no_grad()
    def decode(self, emissions: Tensor, lengths: Lengths = None) -> tuple[Tensor, Tensor]:
        """The sequence of tags with the highest score, by Viterbi's algorithm; of equals the lowest tag.

        Args:
            emissions: (B, T, K).
            lengths: as in ``forward``.

        Returns:
            tags (B, T) int64, 0 after each row's length; and their scores s (B,), −inf (with tags 0) where no
            sequence is allowed.

        Raises:
            DataError: as in ``forward``.

        Note:
            The trap: the score is no probability. ``exp(score − log_partition)`` is one.
        """
        chain = self._chain(emissions, lengths)
        tags, score = kernels.viterbi(chain)
        return tags, score.to(_precision(chain))

    @torch.no_grad()
    def best(self, emissions: Tensor, lengths: Lengths = None, n: int = 1) -> tuple[Tensor, Tensor]:
        """The n most probable sequences of tags, best first; the first is that of ``decode``.

        Args:
            emissions: (B, T, K).
            lengths: as in ``forward``.
            n: how many, at least 1.

        Returns:
            tags (B, n, T) int64, 0 after each row's length; and the logarithms of their probabilities (B, n), −inf
            (with tags 0) where there are fewer than n allowed sequences.

        Raises:
            DataError: as in ``forward``.
            ParameterError: n is less than 1.

        Example:
            >>> import torch
            >>> from bilstm.nn import CRF
            >>> tags, log_probability = CRF(2).best(torch.zeros(1, 1, 2), n=3)
            >>> round(float(log_probability.exp().sum()), 5), float(log_probability[0, 2])
            (1.0, -inf)
        """
        if n < 1:
            raise ParameterError(f"expected n of at least 1, got {n} (CRF.best)")
        chain = self._chain(emissions, lengths)
        tags, score = kernels.best(chain, n)
        log_z = kernels.log_partition(chain).unsqueeze(1)
        return tags, _less(score, log_z).to(_precision(chain))

    def log_probability(self, emissions: Tensor, lengths: Lengths, permitted: Tensor) -> Tensor:
        """The logarithm of the probability that every step's tag is among those permitted there.

        So of an entity: permit its own tags where it stands, what ends it after it, and every tag elsewhere.

        Args:
            emissions: (B, T, K).
            lengths: as in ``forward``.
            permitted: (B, T, K) bool; anything after a row's length.

        Returns:
            (B,): at most 0; −inf where no allowed sequence is permitted.

        Raises:
            DataError: as in ``forward``, or permitted has another shape or type.

        Example:
            >>> import torch
            >>> from bilstm.nn import CRF
            >>> crf, emissions, permitted = CRF(3), torch.randn(1, 4, 3), torch.ones(1, 4, 3, dtype=torch.bool)
            >>> permitted[:, 1, 2] = False
            >>> probability = crf.log_probability(emissions, None, permitted).exp()
            >>> abs(float(probability.detach() + crf.marginals(emissions)[0, 1, 2]) - 1) < 1e-6
            True
        """
        chain = self._chain(emissions, lengths)
        if permitted.dtype != torch.bool or permitted.shape != emissions.shape:
            raise DataError(
                f"expected permitted as truth values of shape {tuple(emissions.shape)}, that of emissions, "
                f"got {str(permitted.dtype).removeprefix('torch.')} of shape {tuple(permitted.shape)}"
            )
        restricted = chain.emissions.masked_fill(~permitted.to(emissions.device), -torch.inf)
        log_restricted = kernels.log_partition(chain._replace(emissions=restricted))
        return _less(log_restricted, kernels.log_partition(chain)).to(_precision(chain))

    def _chain(self, emissions: Tensor, lengths: Lengths) -> Chain:
        """Check emissions and lengths and apply the rules."""
        if emissions.dim() != 3 or emissions.shape[2] != self.num_tags:
            raise DataError(
                f"expected emissions of shape (B, T, {self.num_tags}), got {tuple(emissions.shape)}",
                hint=f"the last axis holds a score for each tag; this module was made with num_tags={self.num_tags}",
            )
        if not emissions.is_floating_point():
            raise DataError(f"expected emissions of a floating type, got {emissions.dtype}")
        return Chain(_single(emissions), every_length(lengths, *emissions.shape[:2]), *ruled(self))


def _rule(name: str, rule: Array | None, shape: tuple[int, ...]) -> Tensor | None:
    if rule is None:
        return None
    if not isinstance(rule, np.ndarray) or rule.dtype != np.bool_ or rule.shape != shape:
        got = f"{rule.dtype} of shape {rule.shape}" if isinstance(rule, np.ndarray) else type(rule).__name__
        raise ParameterError(f"expected {name} as a numpy array of truth values of shape {shape}, got {got} (CRF)")
    return torch.from_numpy(rule.copy())  # not torch.tensor, which has no values where a meta device is set


def ruled(crf: CRF) -> list[Tensor]:
    """Transitions, start and end of a CRF, −∞ where a rule forbids them."""
    rules = ((crf.transitions, crf.allowed), (crf.start, crf.first), (crf.end, crf.last))
    return [_single(part if rule is None else part.masked_fill(~rule, -torch.inf)) for part, rule in rules]


def _single(tensor: Tensor) -> Tensor:
    """In single precision at least."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def _precision(chain: Chain) -> torch.dtype:
    """The type of results: float32, unless a float64 was given."""
    return torch.promote_types(chain.emissions.dtype, chain.transitions.dtype)


def _less(log_part: Tensor, log_whole: Tensor) -> Tensor:
    """log(part / whole); −inf where the part is nothing, even of nothing."""
    nothing = log_part == -torch.inf
    return torch.where(nothing, -torch.inf, log_part.masked_fill(nothing, 0) - log_whole.masked_fill(nothing, 0))


def _checked_tags(tags: Tensor, chain: Chain) -> Tensor:
    """int64 and each in 0…K−1 where there is a step."""
    B, T, K = chain.emissions.shape
    if tags.is_floating_point() or tags.dtype == torch.bool or tuple(tags.shape) != (B, T):
        raise DataError(
            f"expected tags as whole numbers of shape {(B, T)}, that of emissions, "
            f"got {str(tags.dtype).removeprefix('torch.')} of shape {tuple(tags.shape)}"
        )
    tags = tags.to(chain.emissions.device, torch.int64)
    if core.watched() or core.transformed():
        return tags  # they may have no values that one could look at
    wrong = ((tags < 0) | (tags >= K)) & valid_steps(chain.lengths, tags)
    if wrong.any():
        row, step = (int(place) for place in wrong.nonzero()[0])
        raise DataError(f"expected tags from 0 to {K - 1}, got {int(tags[row, step])} (row {row}, step {step})")
    return tags
