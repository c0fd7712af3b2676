"""CTC against all alignments one by one, on both kernels: losses, gradients, alignments; and against torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from bilstm.nn import align, ctc_loss, greedy, last_kernel, needed_steps, use_kernel
from bilstm.nn.ctc import equations as ctc_equations
from tests import transcripts
from tests.cases import threads_of_torch
from tests.compare import assert_close
from tests.nn.kernels import needs_native, on_every_kernel, running
from tests.strategies import FUZZ
from tests.transcripts import TextCase, all_alignments, text_cases, text_of

RECORDINGS = TextCase((40, 7, 0, 1, 33, 25, 0), (12, 3, 0, 1, 0, 12, 2), 40, 6, seed=3)


def observed(case, outputs=None):
    """Losses, and the gradient of their sum with the weights 1, 2, …, infinite ones included."""
    outputs = (case.outputs if outputs is None else outputs).clone().requires_grad_()
    losses = ctc_loss(outputs, case.texts, case.lengths, case.text_lengths)
    (gradient,) = torch.autograd.grad(losses, outputs, torch.arange(1.0, len(losses) + 1).to(losses))
    return losses.detach(), gradient


# --- the loss -----------------------------------------------------------------------------------------------


@on_every_kernel
@FUZZ
@given(case=text_cases())
def test_the_loss_is_that_of_all_alignments(case, kernel):
    with running(kernel, case.outputs):
        found = ctc_loss(case.outputs, case.texts, case.lengths, case.text_lengths)
    for row in range(len(case.lengths)):
        expected = transcripts.loss(*case.row(row))
        assert_close(found[row], expected, rtol=3e-7, atol=3e-7, what=f"loss of row {row}")


@on_every_kernel
@FUZZ
@given(case=text_cases())
def test_the_gradient_is_that_of_all_alignments_and_zero_without_one(case, kernel):
    with running(kernel, case.outputs):
        _, found = observed(case)
    for row, length in enumerate(case.lengths):
        outputs, text = case.row(row)
        outputs = outputs.clone().requires_grad_()
        loss = transcripts.loss(outputs, text)
        expected = torch.zeros_like(case.outputs[row])
        if loss.isfinite() and length:
            expected[:length] = torch.autograd.grad(loss, outputs)[0] * (row + 1)
        assert_close(found[row], expected, atol=1e-6 * (row + 1), what=f"gradient of row {row}")


@on_every_kernel
@FUZZ
@given(seed=st.integers(0, 10_000), K=st.integers(2, 40), T=st.integers(1, 60), scale=st.sampled_from([1.0, 5.0]))
def test_loss_and_gradient_are_those_of_torch_in_double(seed, K, T, scale, kernel):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, T + 1, (5,), generator=generator)
    sizes = (lengths.double() * torch.rand(5, generator=generator) * 0.5).long()  # so that every text fits
    case = TextCase(tuple(lengths.tolist()), tuple(sizes.tolist()), T, K, scale, seed)
    with running(kernel):
        losses, gradient = observed(case)
    outputs = case.outputs.nan_to_num().double().requires_grad_()
    texts = case.texts.clamp(min=1)
    log_p = outputs.log_softmax(2).transpose(0, 1)
    expected = functional.ctc_loss(log_p, texts, lengths, sizes, reduction="none")
    assert_close(losses, expected, rtol=1e-6, atol=1e-6)
    (expected,) = torch.autograd.grad((expected * torch.arange(1.0, 6)).sum(), outputs)
    assert_close(gradient, expected, atol=2e-6)


@FUZZ
@given(case=text_cases(scales=(1.0,)))
def test_the_gradient_of_the_equations_is_that_of_finite_differences(case):
    outputs = case.outputs.double().nan_to_num()
    fitting = [row for row in range(len(case.lengths)) if needed_steps(case.row(row)[1]) <= case.lengths[row]]
    if not fitting or outputs.numel() == 0:
        return
    sizes = torch.tensor(case.text_lengths)[fitting]

    def losses(x):
        return ctc_loss(x, case.texts[fitting], torch.tensor(case.lengths)[fitting], sizes)

    assert torch.autograd.gradcheck(losses, outputs[fitting].requires_grad_())


@needs_native
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_native_kernel_agrees_with_the_equations_however_sure_a_network_is(scale, seed):
    """The scale of 1000 makes sums that scaled probabilities lose, and which are then made by logarithms."""
    case = TextCase((60, 30, 55, 0), (20, 9, 27, 0), 60, 12, scale, seed)
    with running("equations"):
        expected = observed(case)
    with running("native"):
        found = observed(case)
    assert_close(found[0], expected[0], rtol=3e-7)
    assert_close(found[1], expected[1], atol=2e-6)


@on_every_kernel
def test_a_network_that_always_says_blank_has_a_finite_loss_and_is_told_all_tokens(kernel):
    """Forward and backward sums live in states so far apart that their scaled product is 0."""
    outputs = torch.zeros(1, 100, 5)
    outputs[:, :, 0] = 60
    text = torch.arange(30).remainder(4).unsqueeze(0) + 1
    leaf = outputs.requires_grad_()
    with running(kernel):
        loss = ctc_loss(leaf, text, None, None)
        (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    expected = functional.ctc_loss(outputs.double().log_softmax(2).transpose(0, 1), text, [100], [30], reduction="none")
    assert_close(loss, expected, rtol=1e-6)
    assert_close(-gradient[0, :, 1:].sum(), 30, atol=1e-4)


@on_every_kernel
def test_a_token_of_probability_zero_is_no_trouble(kernel):
    outputs = torch.zeros(2, 4, 3)
    outputs[0, :, 1] = -torch.inf  # the text needs it
    outputs[1, :, 2] = -torch.inf  # it does not
    outputs.requires_grad_()
    with running(kernel):
        losses = ctc_loss(outputs, torch.ones(2, 1, dtype=torch.int64), None, None)
        losses.sum().backward()
    assert losses[0] == torch.inf
    assert_close(losses[1], transcripts.loss(torch.zeros(4, 2), (1,)), rtol=1e-6)
    assert_close(outputs.grad[0], torch.zeros(4, 3))
    assert outputs.grad[1].isfinite().all()


@on_every_kernel
def test_a_text_that_does_not_fit_has_infinite_loss_no_gradient_and_disturbs_nobody(kernel):
    case = TextCase((3, 2, 3), (1, 2, 2), 3, 4)
    case.texts[1] = torch.tensor([2, 2])
    alone = TextCase((3, 2, 3), (1, 0, 2), 3, 4)
    alone.texts[:] = case.texts
    with running(kernel):
        (losses, gradient), (expected, by_row) = observed(case), observed(alone)
        weighted = ctc_loss(case.outputs.requires_grad_(), case.texts, case.lengths, case.text_lengths)
        (infinite,) = torch.autograd.grad((weighted**2).sum(), case.outputs)
    assert losses[1] == torch.inf
    assert not gradient[1].any()
    assert not infinite[1].any()
    assert_close(losses[::2], expected[::2])
    assert_close(gradient[::2], by_row[::2])


@on_every_kernel
def test_a_row_without_text_must_be_blank_and_one_without_steps_is_certain(kernel):
    outputs = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(0))
    with running(kernel):
        losses = ctc_loss(outputs, torch.zeros(3, 0, dtype=torch.int64), [4, 0, 2], [0, 0, 0])
    blank = -outputs.log_softmax(2)[:, :, 0]
    assert_close(losses, torch.stack([blank[0].sum(), torch.zeros(()), blank[2, :2].sum()]), rtol=1e-6)


@on_every_kernel
def test_nan_in_a_step_is_nan_in_its_row_only(kernel):
    case = TextCase((4, 4), (1, 2), 4, 3)
    expected = ctc_loss(case.outputs, case.texts, case.lengths, case.text_lengths)
    case.outputs[0, 2, 1] = torch.nan
    with running(kernel):
        losses = ctc_loss(case.outputs, case.texts, case.lengths, case.text_lengths)
    assert losses[0].isnan()
    assert_close(losses[1], expected[1], rtol=1e-6)


@on_every_kernel
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_outputs_of_any_floating_type_give_their_own_gradient(dtype, kernel):
    case = TextCase((9, 5), (3, 2), 9, 4)
    with use_kernel(kernel):
        losses, gradient = observed(case, case.outputs.to(dtype))
    assert last_kernel() == ("equations" if dtype is torch.float64 else kernel)
    assert losses.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
    assert gradient.dtype == dtype
    expected = observed(case, case.outputs.to(dtype).double())
    assert_close(losses, expected[0], rtol=1e-6)
    assert_close(gradient, expected[1], atol=1e-6 if dtype.itemsize > 2 else 1e-2)


@needs_native
def test_batch_mates_and_threads_change_no_bit():
    case, alone, mates = RECORDINGS, [], []
    for row, length in enumerate(case.lengths):
        own = TextCase((length,), (case.text_lengths[row],), case.time, case.tokens)
        own.outputs[:], own.__dict__["texts"] = case.outputs[row], case.texts[row : row + 1]
        alone.append(observed(own))
    for threads in (1, 2, 3):
        with threads_of_torch(threads):
            mates.append(observed(case))
    for losses, gradient in mates:
        for row, (loss, own) in enumerate(alone):
            assert_close(losses[row], loss[0])
            assert_close(gradient[row], own[0] * (row + 1), rtol=2e-7)
        assert_close(gradient, mates[0][1])


def test_torch_func_goes_to_the_equations():
    case = TextCase((6, 4), (2, 3), 6, 4)
    expected = observed(case)[1]

    def weighted(x):
        losses = ctc_loss(x, case.texts, case.lengths, case.text_lengths)
        return (losses * torch.tensor([1.0, 2.0])).sum()

    found = torch.func.grad(weighted)(case.outputs)
    assert last_kernel() == "equations"
    assert_close(found, expected, atol=1e-6)


def test_how_tensors_lie_in_memory_changes_nothing():
    case = RECORDINGS
    expected = ctc_loss(case.outputs, case.texts, case.lengths, case.text_lengths)
    turned = case.outputs.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    texts = case.texts.T.contiguous().T.int()
    found = ctc_loss(turned, texts, torch.tensor(case.lengths), torch.tensor(case.text_lengths).short())
    assert_close(found, expected)


# --- the most probable alignment ----------------------------------------------------------------------------


@on_every_kernel
@FUZZ
@given(case=text_cases(scales=(1.0, 10.0)))
def test_the_alignment_is_the_best_of_all(case, kernel):
    with running(kernel, case.outputs):
        found = align(case.outputs, case.texts, case.lengths, case.text_lengths)
    for row, own in enumerate(found):
        outputs, text = case.row(row)
        possible = [(float(p), a) for a, p in all_alignments(outputs) if text_of(a) == text]
        if not possible:
            assert own is None
            continue
        log_p, best = max(possible)
        assert_close(own.log_probability, log_p, atol=1e-9)
        begin = [t for t, token in enumerate(best) if token and (t == 0 or best[t - 1] != token)]
        end = [next((s for s in range(t, len(best)) if best[s] != best[t]), len(best)) for t in begin]
        assert (own.begin, own.end) == (tuple(begin), tuple(end))
        p = outputs.double().softmax(1)
        highest = [float(p[a:z, token].max()) for a, z, token in zip(begin, end, text, strict=True)]
        assert_close(own.confidence, tuple(highest), atol=1e-12)


@needs_native
def test_the_native_alignment_is_that_of_the_equations_bit_for_bit_on_any_number_of_threads():
    case = RECORDINGS
    with running("equations"):
        expected = align(case.outputs, case.texts, case.lengths, case.text_lengths)
    assert [own is None for own in expected] == [False] * 6 + [True]
    for threads in (1, 2):
        with threads_of_torch(threads), running("native"):
            assert align(case.outputs, case.texts, case.lengths, case.text_lengths) == expected


# --- the text of the most probable alignment ----------------------------------------------------------------


@FUZZ
@given(case=text_cases())
def test_greedy_is_the_text_of_the_most_probable_alignment(case):
    found = greedy(case.outputs, case.lengths)
    for row, text in enumerate(found):
        assert tuple(text) == text_of(tuple(case.row(row)[0].argmax(1).tolist()))


def test_needed_steps_are_the_fewest_with_an_alignment():
    outputs = torch.zeros(6, 3)
    for text in ((), (1,), (1, 2), (1, 1), (2, 2, 2), (1, 2, 2)):
        n = needed_steps(text)
        assert transcripts.loss(outputs[:n], text).isfinite()
        assert n == 0 or transcripts.loss(outputs[: n - 1], text) == torch.inf


# --- the test of the tests ----------------------------------------------------------------------------------


def _wrong(name):
    states, ends = ctc_equations._states, ctc_equations._ends
    return {
        "a repeat may follow without a blank": ("_states", lambda given: (states(given)[0], states(given)[1] | True)),
        "no blank is ever skipped": ("_states", lambda given: (states(given)[0], states(given)[1] & False)),
        "the last blank is a must": ("_ends", lambda forward, sizes: ends(forward, sizes)[:, :1]),
    }[name]


@pytest.mark.parametrize(
    "name", ["a repeat may follow without a blank", "no blank is ever skipped", "the last blank is a must"]
)
def test_a_wrong_ctc_is_rejected(name, monkeypatch):
    case = TextCase((5, 4), (2, 3), 5, 3, seed=1)
    case.texts[0] = torch.tensor([1, 1, -100])
    case.texts[1] = torch.tensor([1, 2, 1])
    monkeypatch.setattr(ctc_equations, *_wrong(name))
    with running("equations"):
        found = ctc_loss(case.outputs, case.texts, case.lengths, case.text_lengths)
    expected = torch.stack([transcripts.loss(*case.row(row)) for row in range(2)])
    with pytest.raises(AssertionError):
        assert_close(found, expected, rtol=1e-6)
