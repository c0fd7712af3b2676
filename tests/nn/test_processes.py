"""The layer in copies, threads and other processes: each computes the same, and none waits for ever."""

from __future__ import annotations

import copy
import io
import threading

import pytest
import torch
from torch import multiprocessing
from torch.utils.data import DataLoader

from bilstm.nn import BiLSTM, last_kernel
from tests.cases import Case
from tests.compare import assert_close
from tests.nn.kernels import needs_native

pytestmark = [
    needs_native,
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

CASE = Case(30, 20, 7, 24, layers=2, lengths=tuple(row % 21 for row in range(30)), threads=2, seed=31)
PATIENCE = 120  # seconds until a process counts as hanging


@pytest.fixture
def threads():
    with CASE.with_threads():
        yield


def output_of(layer: BiLSTM) -> torch.Tensor:
    output = layer(CASE.input(), None, CASE.lengths)[0]
    assert last_kernel() == "native"
    return output.detach()


def report(layer: BiLSTM, results) -> None:
    """Forward and backward, in another process: output and gradients as arrays, which need no shared memory."""
    torch.set_num_threads(CASE.threads)
    output = layer(CASE.input(), None, CASE.lengths)[0]
    # nothing else: torch's own arithmetic may hang in a process that was forked after a run by several threads
    gradients = torch.autograd.grad(output, list(layer.parameters()), output)
    results.put([last_kernel(), *(tensor.detach().numpy() for tensor in (output, *gradients))])


def assert_another_process_agrees(layer: BiLSTM, method: str) -> None:
    context = multiprocessing.get_context(method)
    results = context.SimpleQueue()
    process = context.Process(target=report, args=(layer, results), daemon=True)
    process.start()
    try:
        assert results._reader.poll(PATIENCE), f"a process made by {method} gives no result"
        kernel, output, *found = results.get()
        process.join(PATIENCE)
        assert process.exitcode == 0
    finally:
        process.kill()
    assert kernel == "native"
    here = layer(CASE.input(), None, CASE.lengths)[0]
    assert_close(output, here)
    for value, expected in zip(found, torch.autograd.grad(here, list(layer.parameters()), here), strict=True):
        assert_close(value, expected)


@pytest.mark.usefixtures("threads")
def test_a_process_forked_after_a_run_by_several_threads_computes_the_same():
    layer = CASE.layer(BiLSTM)
    output_of(layer)
    for _ in range(3):
        assert_another_process_agrees(layer, "fork")


@pytest.mark.usefixtures("threads")
def test_a_process_started_afresh_reads_the_shared_weights():
    layer = CASE.layer(BiLSTM).share_memory()
    assert layer.weight_hh_l0.is_shared()
    assert_another_process_agrees(layer, "spawn")


class Encoding:
    """A collate function with a layer in it, as a loader of ready-made sentence vectors has one."""

    def __init__(self, layer: BiLSTM) -> None:
        self.layer = layer

    def __call__(self, rows: list[torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return self.layer(torch.stack(rows))[0]


@pytest.mark.usefixtures("threads")
def test_the_workers_of_a_loader_run_the_layer():
    layer = CASE.layer(BiLSTM)
    output_of(layer)
    rows = list(CASE.input())
    loader = DataLoader(
        rows, batch_size=8, num_workers=2, collate_fn=Encoding(layer), multiprocessing_context="fork", timeout=PATIENCE
    )
    with torch.no_grad():
        assert_close(torch.cat(list(loader)), layer(CASE.input())[0])


@pytest.mark.usefixtures("threads")
def test_many_threads_may_call_at_once():
    layer = CASE.layer(BiLSTM)
    expected, outputs = output_of(layer), []

    def call() -> None:
        torch.set_num_threads(CASE.threads)
        outputs.extend(output_of(layer) for _ in range(20))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(PATIENCE)
        assert not caller.is_alive()
    assert len(outputs) == 80
    for output in outputs:
        assert_close(output, expected)


def test_a_copy_after_a_run_computes_the_same():
    layer = CASE.layer(BiLSTM)
    expected = output_of(layer)
    assert_close(output_of(copy.deepcopy(layer)), expected)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    loaded = BiLSTM(CASE.features, CASE.hidden, CASE.layers, batch_first=True)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    assert_close(output_of(loaded), expected)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    with torch.serialization.safe_globals([BiLSTM, set]):
        assert_close(output_of(torch.load(file, weights_only=True)), expected)
