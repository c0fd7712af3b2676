"""The forecaster's network as ONNX operators, from windows in the caller's units to forecasts and intervals in them.

Knows the arithmetic of nn/forecast.py and of the encoder around it; does not know dates.
"""

from __future__ import annotations

import numpy as np

from bilstm.data.series.encoder import LOG, SeriesEncoder
from bilstm.estimators.forecasts import INTERVALS
from bilstm.export.columns import encoded
from bilstm.export.graph import Graph
from bilstm.export.layers import last_states, linear, lstm, numbers, whole_rows
from bilstm.networks.forecast import LEAST_SCALE, ForecastNetwork


def forecast(graph: Graph, network: ForecastNetwork, encoder: SeriesEncoder, history: int) -> list[int]:
    """Inputs, outputs and everything between; gives the percentages of the intervals."""
    K, h = network.targets, network.horizon
    z = _standardised(graph, encoder, graph.input("targets", "double", ["B", history, K]))
    last = graph.part(z, 1, -1)  # (B, 1, K)
    z_ahead = graph.add("Add", last, _linear_part(graph, network, z, last)) if network.with_linear else last
    if learns(network):
        z_ahead = graph.add("Add", z_ahead, _learned_part(graph, network, encoder, z, last))
    shape = graph.add("Concat", graph.size(z, 0), graph.integers(h, K), axis=0)
    z_ahead = graph.cast(graph.add("Expand", z_ahead, shape, name="forecast_z"), "double")  # (B, h, K)
    graph.output("forecast", _inverse(graph, encoder, z_ahead), "double", ["B", h, K])
    spread = numbers(network.spread).astype(np.float64)[:, None]  # (2, 1, h, K)
    if not spread.any():
        return []
    half = graph.add("Mul", graph.constant("spread", spread), graph.cast(_width(graph, network, z), "double"))
    for name, operator in (("low", "Sub"), ("high", "Add")):
        bound = _inverse(graph, encoder, graph.add(operator, z_ahead, half))
        graph.output(name, bound, "double", [len(INTERVALS), "B", h, K])
    return list(INTERVALS)


def learns(network: ForecastNetwork) -> bool:
    """Whether the BiLSTM has a share in the forecast; without it only the targets are read."""
    return float(network.share) > 0


def _standardised(graph: Graph, encoder: SeriesEncoder, targets: str) -> str:
    """Targets in the caller's units to z, (B, T, K); the mean where nothing was known yet."""
    scaled = graph.add("Log", targets) if encoder.target_as == LOG else targets
    z = graph.add("Sub", scaled, graph.constant("target_means", encoder.mean))
    z = graph.add("Div", z, graph.constant("target_scales", encoder.scale))
    z = graph.add("Where", graph.add("IsNaN", z), graph.constant("zero_double", np.float64(0)), z)
    return graph.cast(z, "float")


def _inverse(graph: Graph, encoder: SeriesEncoder, z: str) -> str:
    scaled = graph.add("Mul", z, graph.constant("target_scales", encoder.scale))
    scaled = graph.add("Add", scaled, graph.constant("target_means", encoder.mean))
    return graph.add("Exp", scaled) if encoder.target_as == LOG else scaled


def _changes(graph: Graph, network: ForecastNetwork, z: str) -> str:
    """From step to step as a share of the usual one, (B, T − 1, K)."""
    change = graph.add("Sub", graph.part(z, 1, 1), graph.part(z, 1, 0, -1))
    return graph.add("Div", change, graph.constant("change_size", numbers(network.change_size)), name="changes")


def _restlessness(graph: Graph, network: ForecastNetwork, z: str) -> str:
    """The root mean square of a window's changes as a share of the usual one, (B, 1, K)."""
    change = _changes(graph, network, z)
    square = graph.add("ReduceMean", graph.add("Mul", change, change), axes=[1])
    square = graph.add("Max", square, graph.constant("least_square", np.float32(LEAST_SCALE**2)))
    return graph.add("Sqrt", square, name="restlessness")


def _width(graph: Graph, network: ForecastNetwork, z: str) -> str:
    """How wide an interval is beside the usual one, (B, 1, K)."""
    own = _restlessness(graph, network, z)
    if network.rescale:
        return own
    two, one, three = (graph.constant(name, np.float32(n)) for name, n in (("two", 2), ("one", 1), ("three", 3)))
    twice = graph.add("Mul", graph.add("Mul", own, own), two)
    return graph.add("Sqrt", graph.add("Div", graph.add("Add", twice, one), three), name="width")


def _linear_part(graph: Graph, network: ForecastNetwork, z: str, last: str) -> str:
    """Distances to the last value to the changes to come, (B, h, K)."""
    map_ = numbers(network.linear)
    distances = graph.transpose(graph.add("Sub", z, last), 0, 2, 1)  # (B, K, T)
    to_come = graph.add("MatMul", distances, graph.constant("linear_map", map_[:-1]), name="linear_part")  # (B, K, h)
    return graph.add("Add", graph.transpose(to_come, 0, 2, 1), graph.constant("linear_intercept", map_[-1][:, None]))


def _learned_part(graph: Graph, network: ForecastNetwork, encoder: SeriesEncoder, z: str, last: str) -> str:
    """What the BiLSTM adds, (B, h, K)."""
    history = network.linear.shape[0] - 1
    if network.changes:
        own = graph.add("Concat", graph.add("Sub", last, last), _changes(graph, network, z), axis=1)
    else:
        own = graph.add("Sub", z, last)
        own = graph.add("Div", own, graph.constant("inside_size", numbers(network.inside_size)))
    scale = _restlessness(graph, network, z) if network.rescale else None
    x = own if scale is None else graph.add("Div", own, scale)
    if encoder.columns is not None:
        others = encoded(graph, encoder.columns, ["B", history], filled=True)
        x = graph.add("Concat", x, others, axis=2, name="lstm_steps")
    read = lstm(graph, network.lstm, x, whole_rows(graph, x, history))
    hidden = graph.add("Relu", linear(graph, network.hidden, last_states(graph, read), "hidden"))
    learned = graph.reshape(linear(graph, network.output, hidden, "outputs"), 0, network.horizon, network.targets)
    if encoder.ahead is not None:  # what the columns known ahead say of each step to come, after what the window says
        assert network.ahead is not None
        future = encoded(graph, encoder.ahead, ["B", network.horizon], prefix="future_", filled=True)
        window = graph.unsqueeze(linear(graph, network.ahead.window, hidden, "ahead_window"), 1)
        both = graph.add("Add", window, linear(graph, network.ahead.future, future, "ahead_future"))
        ahead = linear(graph, network.ahead.output, graph.add("Relu", both), "ahead_output")  # (B, h, K)
        learned = graph.add("Add", learned, ahead)
    added = graph.add("Mul", learned, graph.constant("usual_changes", numbers(network.share * network.sizes)))
    return added if scale is None else graph.add("Mul", added, scale, name="learned_part")
