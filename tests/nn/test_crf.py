"""The CRF against all paths one by one, on both kernels: sums, probabilities, best paths and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bilstm.nn import CRF
from bilstm.nn.crf import equations as crf_equations
from bilstm.nn.crf import kernels as crf_kernels
from tests import paths
from tests.cases import threads_of_torch
from tests.compare import assert_close
from tests.nn.kernels import needs_native, on_every_kernel, running
from tests.paths import ChainCase, all_paths, chain_cases
from tests.strategies import FUZZ

SENTENCES = ChainCase((7, 3, 0, 1, 12, 5, 12), 12, 5, seed=3)
SENTENCES_TAGS = torch.randint(5, (7, 12), generator=torch.Generator().manual_seed(8))
# begin, inside, end, single, outside: of two kinds, so that a kind must be kept
BIOES = ("O", "B-x", "I-x", "E-x", "S-x", "B-y", "I-y", "E-y", "S-y")


def bioes_rules():
    def follows(a, b):
        opens, continues = a[0] in "BI", b[0] in "IE"
        return opens == continues and (not opens or a[2:] == b[2:])

    return {
        "allowed": np.array([[follows(a, b) for b in BIOES] for a in BIOES]),
        "first": np.array([tag[0] in "OBS" for tag in BIOES]),
        "last": np.array([tag[0] in "OES" for tag in BIOES]),
    }


def gradients(crf, emissions, losses, weights):
    """Of the weighted sum of those losses that are finite."""
    finite = losses.isfinite()
    total = (losses.masked_fill(~finite, 0) * weights).sum()
    return torch.autograd.grad(total, [emissions, *crf.parameters()])


def tolerance(case):
    """Float32 results of numbers of this size: sums of some tens of them, rounded once at the end."""
    return {"rtol": 3e-7, "atol": 3e-7 * (1 + case.scale)}


# --- against all paths --------------------------------------------------------------------------------------


def the_loss_is_that_of_all_paths(kind, case, kernel):
    crf = case.crf(kind)
    with running(kernel):
        found, partition = crf(case.emissions, case.path, case.lengths), crf.log_partition(case.emissions, case.lengths)
    for row, n in enumerate(case.lengths):
        expected = paths.loss(crf, case.emissions[row, :n], case.path[row, :n])
        assert_close(found[row], expected, **tolerance(case), what=f"loss of row {row}")
        log_z = paths.log_z(all_paths(crf, case.emissions[row, :n])[0])
        assert_close(partition[row], log_z, **tolerance(case), what=f"log Z of row {row}")


def the_gradients_are_those_of_all_paths(kind, case, kernel):
    crf, emissions = case.crf(kind), case.emissions.clone().requires_grad_()
    weights = torch.arange(1.0, len(case.lengths) + 1)
    with running(kernel):
        found = gradients(crf, emissions, crf(emissions, case.path, case.lengths), weights)
    rows = [paths.loss(crf, emissions[row, :n], case.path[row, :n]) for row, n in enumerate(case.lengths)]
    nothing = 0 * (emissions.sum() + sum(parameter.sum() for parameter in crf.parameters()))
    expected = gradients(crf, emissions, torch.stack(rows) + nothing, weights)
    for name, a, b in zip(["emissions", *dict(crf.named_parameters())], found, expected, strict=True):
        assert_close(a, b, rtol=1e-6, atol=2e-6, what=f"gradient of {name}")


def the_best_paths_are_those_of_all_paths(kind, case, kernel):
    crf, n_best = case.crf(kind), 6
    with running(kernel):
        tags, score = crf.decode(case.emissions, case.lengths)
        best, log_probability = crf.best(case.emissions, case.lengths, n_best)
    assert_close(best[:, 0], tags, what="the first of the best")
    for row, n in enumerate(case.lengths):
        scores, every = all_paths(crf, case.emissions[row, :n])
        scores, order = scores.detach().sort(descending=True, stable=True)
        assert_close(score[row], scores[0], **tolerance(case), what="the best score")
        expected = torch.full((n_best,), -torch.inf, dtype=torch.float64)
        count = min(n_best, int((scores > -torch.inf).sum()))
        expected[:count] = scores[:count] - paths.log_z(scores)
        assert_close(log_probability[row], expected, **tolerance(case), what="the best probabilities")
        expected_tags = torch.zeros(n_best, case.time, dtype=torch.int64)
        expected_tags[:count, :n] = every[order[:count]]
        assert_close(best[row], expected_tags, what="the best paths")


CHECKS = [the_loss_is_that_of_all_paths, the_gradients_are_those_of_all_paths, the_best_paths_are_those_of_all_paths]


@on_every_kernel
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@given(case=chain_cases())
@FUZZ
def test_a_crf_agrees_with_all_paths(check, kernel, case):
    check(CRF, case, kernel)


@on_every_kernel
@given(case=chain_cases(), share=st.sampled_from([0.3, 0.8, 1.0]))
@FUZZ
def test_probabilities_are_shares_of_all_paths(kernel, case, share):
    crf = case.crf()
    permitted = torch.rand(case.emissions.shape, generator=torch.Generator().manual_seed(case.seed)) < share
    with running(kernel):
        marginals = crf.marginals(case.emissions, case.lengths)
        restricted = crf.log_probability(case.emissions, case.lengths, permitted)
    expected = torch.zeros(case.emissions.shape, dtype=torch.float64)
    for row, n in enumerate(case.lengths):
        scores, every = all_paths(crf, case.emissions[row, :n])
        kept = permitted[row, torch.arange(n), every].all(1)
        log_z = paths.log_z(scores)
        inside = paths.log_z(scores[kept])
        inside = inside if inside == -torch.inf else inside - log_z
        assert_close(restricted[row], inside, **tolerance(case), what="log probability of what is permitted")
        if n and log_z > -torch.inf:
            for tag in range(case.tags):
                expected[row, :n, tag] = ((scores - log_z).exp()[:, None] * (every == tag)).sum(0).detach()
    assert_close(marginals, expected, rtol=1e-6, atol=1e-7, what="marginals")


def test_the_equations_derivatives_are_numerically_right():
    crf = ChainCase((4, 0, 2, 1), 4, 3, seed=5).crf().double()
    emissions = torch.randn(4, 4, 3, dtype=torch.float64, requires_grad=True)
    forbidden, tags = torch.tensor([[0, 1, 0], [0, 0, 0], [1, 0, 0]]).bool(), torch.zeros(4, 4, dtype=torch.int64)

    def run(emissions, transitions, start, end):
        transitions = transitions.masked_fill(forbidden, -torch.inf)
        return crf_equations.loss(emissions, torch.tensor([4, 0, 2, 1]), transitions, start, end, tags)

    assert torch.autograd.gradcheck(run, (emissions, crf.transitions, crf.start, crf.end))


# --- one kernel against the other, where paths are too many -------------------------------------------------


def both(crf, emissions, tags, lengths):
    """Loss, gradients and marginals in double precision, by the equations; and what the native kernel says."""
    for kernel in ("equations", "native"):
        leaf = emissions.clone().requires_grad_()
        with running(kernel):
            losses = crf_kernels.log_partition(crf._chain(leaf, lengths), tags)
            found = gradients(crf, leaf, losses, torch.arange(1.0, len(losses) + 1))
            yield losses.detach(), found, crf.marginals(emissions, lengths)


def assert_kernels_agree(crf, emissions, tags, lengths):
    (expected, d_expected, p_expected), (found, d_found, p_found) = both(crf, emissions, tags, lengths)
    assert_close(found, expected, rtol=1e-12, atol=1e-9, what="loss")
    assert_close(p_found, p_expected, rtol=1e-6, atol=1e-12, what="marginals")
    for name, a, b in zip(["emissions", *dict(crf.named_parameters())], d_found, d_expected, strict=True):
        assert_close(a, b, rtol=2e-6, atol=2e-6, what=f"gradient of {name}")


@needs_native
@pytest.mark.parametrize("spread", [1, 50, 51, 75, 76, 150, 151, 250, 750])
@pytest.mark.parametrize(
    "rules", ["none", "none, two tags", "bioes", "a tag that leads nowhere", "even and odd tags in turn"]
)
def test_at_the_limits_of_scaled_probabilities_the_native_kernel_is_right(rules, spread):
    """Emissions and transitions are the extremes of their spread: nothing is further from its scale than these."""
    given_rules = {} if rules.startswith("none") else bioes_rules()
    if rules == "a tag that leads nowhere":
        given_rules["allowed"][2, :] = False
    if rules == "even and odd tags in turn":
        given_rules = {"allowed": np.add.outer(np.arange(9), np.arange(9)) % 2 == 1}
    generator = torch.Generator().manual_seed(spread)
    crf, lengths = CRF(2 if rules == "none, two tags" else 9, **given_rules), torch.arange(9).repeat(3)
    emissions = spread * torch.randint(2, (len(lengths), 8, crf.num_tags), generator=generator).float()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(torch.randint(2, parameter.shape, generator=generator) * float(spread))
    assert_kernels_agree(crf, emissions, crf.decode(emissions, lengths)[0], lengths)


@on_every_kernel
def test_two_paths_that_never_meet_keep_their_shares(kernel):
    """The second falls behind by e^-1120, which no double holds, and makes up for it later."""
    crf, emissions = CRF(2, allowed=~np.eye(2, dtype=bool)), torch.zeros(1, 16, 2)
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.zero_()
    emissions[0, torch.arange(16), torch.tensor([0, 1] * 4 + [1, 0] * 4)] = 140
    with running(kernel):
        assert_close(crf.marginals(emissions), torch.full((1, 16, 2), 0.5), atol=1e-6)


@needs_native
@pytest.mark.parametrize("which", ["emissions", "transitions"])
def test_huge_scores_are_right(which):
    crf, emissions = SENTENCES.crf(), SENTENCES.emissions.clone()
    with torch.no_grad():
        (emissions if which == "emissions" else crf.transitions).mul_(1000)
    assert_kernels_agree(crf, emissions, crf.decode(emissions, SENTENCES.lengths)[0], SENTENCES.lengths)


@needs_native
def test_ten_thousand_steps_are_right():
    """One row by scaled probabilities, one by logarithms."""
    crf, emissions = CRF(4), torch.randn(2, 10_000, 4, generator=torch.Generator().manual_seed(1))
    emissions[1] *= 400
    assert_kernels_agree(crf, emissions, torch.zeros(2, 10_000, dtype=torch.int64), [10_000, 10_000])


@needs_native
@given(case=chain_cases())
@FUZZ
def test_of_equal_paths_both_kernels_take_the_same(case):
    crf, emissions = case.crf(), case.emissions.sign()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.sign_()
    with running("native"):
        found = crf.decode(emissions, case.lengths)
    with running("equations"):
        expected = crf.decode(emissions, case.lengths)
    assert_close(found[0], expected[0], what="tags")
    assert_close(found[1], expected[1], what="scores")


@on_every_kernel
def test_of_equal_paths_the_lowest_tags_are_taken(kernel):
    crf = CRF(3)
    with torch.no_grad(), running(kernel):
        for parameter in crf.parameters():
            parameter.zero_()
        assert_close(crf.decode(torch.zeros(1, 4, 3))[0], torch.zeros(1, 4, dtype=torch.int64))


# --- rows for themselves ------------------------------------------------------------------------------------


def observed(crf, emissions, tags, lengths):
    leaf = emissions.clone().requires_grad_()
    losses = crf(leaf, tags, lengths)
    d_emissions, *d_parameters = torch.autograd.grad(losses.sum(), [leaf, *crf.parameters()])
    by_row = [losses, d_emissions, crf.marginals(emissions, lengths), *crf.decode(emissions, lengths)]
    return by_row, d_parameters


@on_every_kernel
@pytest.mark.parametrize("padding", [torch.nan, torch.inf, -1e30])
def test_what_stands_in_the_padding_changes_no_bit(kernel, padding):
    crf, lengths = SENTENCES.crf(), SENTENCES.lengths
    filled, tags = SENTENCES.emissions.clone(), SENTENCES_TAGS.clone()
    for row, n in enumerate(lengths):
        filled[row, n:], tags[row, n:] = padding, 10**9
    with running(kernel):
        found, expected = (
            observed(crf, filled, tags, lengths),
            observed(crf, SENTENCES.emissions, SENTENCES_TAGS, lengths),
        )
    for a, b in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
        assert_close(a, b)
    assert not found[0][1][2].any(), "the gradient of padding is not zero"


@needs_native
@pytest.mark.parametrize("scale", [1, 300])
def test_a_row_is_the_same_bit_for_bit_in_any_company(scale):
    crf, emissions = SENTENCES.crf(), SENTENCES.emissions * scale
    with running("native"):
        together = observed(crf, emissions, SENTENCES_TAGS, SENTENCES.lengths)[0]
        for row, n in enumerate(SENTENCES.lengths):
            if n:
                alone = observed(crf, emissions[row : row + 1, :n], SENTENCES_TAGS[row : row + 1, :n], [n])[0]
                for a, b in zip(together, alone, strict=True):
                    assert_close(a[row, :n] if a.dim() > 1 else a[row], b[0], what=f"row {row}")


@needs_native
def test_the_number_of_threads_changes_no_bit():
    crf, found = CRF(20), []  # so large that three threads are worth it
    generator = torch.Generator().manual_seed(9)
    emissions, tags = torch.randn(45, 40, 20, generator=generator), torch.zeros(45, 40, dtype=torch.int64)
    emissions[::7] *= 300  # by logarithms
    for threads in (1, 2, 3):
        with threads_of_torch(threads), running("native"):
            by_row, by_parameter = observed(crf, emissions, tags, [*range(41), 40, 40, 40, 40])
            found.append([*by_row, *by_parameter])
    for others in found[1:]:
        for a, b in zip(others, found[0], strict=True):
            assert_close(a, b)


# --- rules --------------------------------------------------------------------------------------------------


@on_every_kernel
def test_what_a_rule_forbids_has_no_gradient_and_is_never_decoded(kernel):
    rules = bioes_rules()
    crf, emissions = CRF(9, **rules), torch.randn(5, 8, 9, generator=torch.Generator().manual_seed(2)) * 3
    with running(kernel):
        tags, _ = crf.decode(emissions)
        crf(emissions, tags).sum().backward()
    assert rules["allowed"][tags[:, :-1], tags[:, 1:]].all()
    assert rules["first"][tags[:, 0]].all()
    assert rules["last"][tags[:, -1]].all()
    for name, parameter in (("allowed", crf.transitions), ("first", crf.start), ("last", crf.end)):
        assert not parameter.grad.numpy()[~rules[name]].any(), name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@on_every_kernel
def test_a_row_without_an_allowed_path_is_said_to_be_impossible_and_disturbs_nobody(kernel):
    """Tag 0 begins, tag 1 follows and ends: no row of one step, one path of two."""
    rules = {"allowed": np.array([[0, 1], [0, 0]]) > 0, "first": np.array([True, False])}
    crf, lengths = CRF(2, **rules, last=np.array([False, True])), [1, 2, 0]
    emissions, tags = torch.randn(3, 2, 2, requires_grad=True), torch.tensor([[0, 0], [0, 1], [0, 0]])
    with running(kernel):
        losses = crf(emissions, tags, lengths)
        losses.sum().backward()
        path, score = crf.decode(emissions, lengths)
        best, log_probability = crf.best(emissions, lengths, 2)
        restricted = crf.log_probability(emissions, lengths, torch.ones(3, 2, 2, dtype=torch.bool))
        partition, marginals = crf.log_partition(emissions, lengths), crf.marginals(emissions, lengths)
    inf = torch.inf
    assert_close(losses, torch.tensor([inf, 0, 0]), atol=1e-6)
    assert_close(restricted, torch.tensor([-inf, 0, 0]), atol=1e-6)
    assert_close(log_probability, torch.tensor([[-inf, -inf], [0, -inf], [0, -inf]]), atol=1e-6)
    assert_close(marginals, torch.tensor([[[0, 0], [0, 0]], [[1, 0], [0, 1]], [[0, 0], [0, 0]]]).float(), atol=1e-6)
    assert_close(score[0], -inf)
    assert_close(partition[0], -inf)
    assert_close(path, torch.tensor([[0, 0], [0, 1], [0, 0]]))
    assert_close(best[:, 0], path)
    for tensor in (emissions, *crf.parameters()):
        assert_close(tensor.grad, torch.zeros(tensor.shape), atol=1e-6)


# --- the test of the tests ----------------------------------------------------------------------------------


class TransposedTransitions(CRF):
    """Reads transitions as (to, from)."""

    def _chain(self, emissions, lengths):
        chain = super()._chain(emissions, lengths)
        return chain._replace(transitions=chain.transitions.T)


class LastTransitionForgotten(CRF):
    """Leaves out the one from the last tag to the end."""

    def _chain(self, emissions, lengths):
        chain = super()._chain(emissions, lengths)
        return chain._replace(end=0 * chain.end)


class PaddingCounted(CRF):
    """Every row has T steps."""

    def _chain(self, emissions, lengths):
        return super()._chain(emissions, None)


class FirstTransitionForgotten(CRF):
    """Leaves out the one from the start to the first tag."""

    def _chain(self, emissions, lengths):
        chain = super()._chain(emissions, lengths)
        return chain._replace(start=0 * chain.start)


@on_every_kernel
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "wrong", [TransposedTransitions, LastTransitionForgotten, PaddingCounted, FirstTransitionForgotten]
)
def test_a_wrong_crf_is_rejected(wrong, check, kernel):
    case = ChainCase((4, 2, 3, 1, 0), 4, 3, seed=4)
    case.path.clamp_(min=0)  # so that padding can be counted
    check(CRF, case, kernel)
    with pytest.raises(AssertionError):
        check(wrong, case, kernel)
