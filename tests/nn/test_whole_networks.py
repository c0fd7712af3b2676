"""The whole network of every task is one graph for torch.export and torch.compile at any sizes, with equal results."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from bilstm.data.batch import Batch
from bilstm.data.text.encoder import CASES, COLUMNS
from bilstm.networks.forecast import ForecastNetwork
from bilstm.networks.network import POOLING_NAMES, Network, StepNetwork
from bilstm.networks.speech import SpeechNetwork
from bilstm.networks.words import WordReader
from bilstm.nn.crf.layer import CRF
from tests.compare import assert_close
from tests.nn.kernels import needs_native

pytestmark = [
    needs_native,
    pytest.mark.usefixtures("fresh_compiler"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]

F, HISTORY = 4, 6
SIZES = [(1, 1, 1), (5, 9, 7), (2, 3, 30)]  # B, T, U


class Whole(nn.Module):
    """A network as a function of tensors: what an exporter takes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, values, lengths, others=None):
        forms, future = (others, None) if values.dtype == torch.int64 else (None, others)
        return self.network(Batch(values, lengths, lengths, forms, future))


def reader():
    sizes = {"embedding_size": 3, "char_hidden_size": 2, "dropout": 0.5, "word_dropout": 0.1}
    return WordReader(9, 6, 4, 2, cases=len(CASES), **sizes)


def forecaster(**options):
    network = ForecastNetwork(F, 2, history=HISTORY, horizon=3, hidden_size=5, future_size=2, **options)
    for part in (network.output, network.ahead.output):  # which begin as zeros
        nn.init.normal_(part.weight)
    return network


NETWORKS = {
    **{
        f"numbers, {name}": lambda name=name: Network(F, 2, hidden_size=5, num_layers=2, pooling=name)
        for name in POOLING_NAMES
    },
    "text": lambda: Network(reader().output_size, 3, hidden_size=5, pooling="attention", reader=reader()),
    "tags": lambda: StepNetwork(
        reader().output_size, 3, hidden_size=5, num_layers=1, dropout=0.5, reader=reader(), crf=CRF(3)
    ),
    "series": lambda: forecaster(rescale=True),
    "series by changes": lambda: forecaster(changes=True, with_linear=False),
    "sound": lambda: SpeechNetwork(F, 5, hidden_size=5, num_layers=2),
}
each_network = pytest.mark.parametrize("name", NETWORKS)
one_of_each_kind = pytest.mark.parametrize("name", ["numbers, final", "text", "tags", "series", "sound"])


def inputs(name, B, T, U):
    lengths = torch.randint(0, T + 1, (B,))
    if name in ("text", "tags"):
        forms = torch.cat([torch.randint(0, 5, (U, COLUMNS)), torch.randint(0, 8, (U, 24))], dim=1)
        return torch.randint(0, U, (B, T, 1)), lengths, forms
    if name.startswith("series"):
        return torch.randn(B, HISTORY, F), torch.full((B,), HISTORY), torch.randn(B, 3, 2)
    return torch.randn(B, T, F), lengths


def axes(name):
    B, T, U = (torch.export.Dim(axis) for axis in "BTU")
    if name.startswith("series"):
        return {0: B}, {0: B}, {0: B}
    return ({0: B, 1: T}, {0: B}, {0: U}) if name in ("text", "tags") else ({0: B, 1: T}, {0: B})


@each_network
def test_an_exported_network_runs_at_other_sizes(name):
    whole, strict = Whole(NETWORKS[name]()).eval(), name in ("text", "series")  # by one way of tracing or the other
    program = torch.export.export(whole, inputs(name, 3, 5, 4), dynamic_shapes=axes(name), strict=strict)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    exported = torch.export.load(file).module()
    for sizes in SIZES:
        given = inputs(name, *sizes)
        assert_close(exported(*given), whole(*given), atol=1e-5)


@one_of_each_kind
def test_a_compiled_network_is_one_graph_for_all_sizes(name):
    graphs = []

    def noting(graph, example):
        graphs.append(graph)
        return graph

    whole = Whole(NETWORKS[name]()).eval()
    function = torch.compile(whole, fullgraph=True, backend=noting, dynamic=True)
    with torch.no_grad(), torch._dynamo.config.patch(allow_rnn=True):
        for sizes in ((11, 13, 17), (5, 9, 8), (2, 3, 30)):  # no two equal at first, or they are taken for one
            given = inputs(name, *sizes)
            assert_close(function(*given), whole(*given), atol=1e-5)
    assert len(graphs) == 1


@pytest.mark.parametrize("name", ["text", "series by changes"])
def test_a_compiled_network_has_the_eager_gradients(name):
    whole = Whole(NETWORKS[name]()).eval()
    weights = [weight for weight in whole.parameters() if weight.requires_grad]
    function = torch.compile(whole, fullgraph=True, backend="aot_eager")
    given = inputs(name, 3, 5, 4)

    def gradients(network):
        return torch.autograd.grad(network(*given).sin().sum(), weights, materialize_grads=True)

    with torch._dynamo.config.patch(allow_rnn=True):
        found = gradients(function)
    for value, wanted in zip(found, gradients(whole), strict=True):
        assert_close(value, wanted, atol=1e-5)


@pytest.mark.slow
def test_inductor_gives_the_eager_results():
    whole, given = Whole(NETWORKS["text"]()).eval(), inputs("text", 3, 5, 4)
    with torch.no_grad(), torch._dynamo.config.patch(allow_rnn=True):
        assert_close(torch.compile(whole, fullgraph=True)(*given), whole(*given), atol=1e-5)
