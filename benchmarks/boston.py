"""The classic Boston job beside the same network in plain PyTorch: do the losses agree?

    python benchmarks/boston.py [--threads 2] [--store]

506 rows, one step, 13 features, four layers of 32, full batch, Adam at 0.001, equal initial weights. Parity: the
losses of 1,000 epochs beside plain PyTorch's with Adam as it comes; the same with torch's own kernel and fused
Adam on both sides, where nothing is left to differ; and, as the measure of what float32 leaves open, plain
PyTorch's own with its rows in other orders. What an epoch takes is measured next door, in training.py.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from torch import Tensor, nn

from bilstm import boston
from bilstm.data.batch import Sequences
from bilstm.data.encoders import FeatureEncoder, TargetScaler
from bilstm.networks.network import Network
from bilstm.nn import use_kernel
from bilstm.training.loop import Examples, train
from record import store

PARITY_EPOCHS = (1, 100, 1000)
NOISE_RUNS = 5


class PlainNetwork(nn.Module):
    """The classic network as a tutorial writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(13, 32, 4, bidirectional=True, batch_first=True)
        self.hidden = nn.Linear(64, 32)
        self.output = nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        _, (h_n, _) = self.lstm(x)
        result: Tensor = self.output(self.hidden(torch.cat([h_n[-2], h_n[-1]], dim=1).relu()).relu())
        return result


def plain_epochs(
    network: nn.Module, x: Tensor, y: Tensor, epochs: int, *, fused: bool | None = None
) -> tuple[list[float], list[float]]:
    """Losses and seconds of each epoch, written as a tutorial would."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001, fused=fused)
    losses, seconds = [], []
    for _ in range(epochs):
        started = time.perf_counter()
        loss = nn.functional.mse_loss(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - started)
    return losses, seconds


def our_epochs(network: nn.Module, examples: Examples, epochs: int) -> tuple[list[float], list[float]]:
    """The same by the package's training loop: losses and seconds from its history."""
    history = train(
        network,
        examples,
        None,
        loss=lambda outputs, targets, _: nn.functional.mse_loss(outputs, targets, reduction="none").mean(dim=1),
        metric=None,
        metric_name="rmse",
        optimizer="adam",
        learning_rate=0.001,
        weight_decay=0.0,
        schedule="constant",
        clip_norm=None,
        batch_size=None,
        max_epochs=epochs,
        patience=None,
        seed=0,
        device=torch.device("cpu"),
    )
    return history["loss"], history["seconds"]


class Contenders:
    """Both networks with equal weights, and the data in both forms."""

    def __init__(self) -> None:
        data = boston()
        assert data.targets is not None
        matrix = FeatureEncoder().fit(data.steps).transform(data.steps)
        self.y = torch.from_numpy(TargetScaler().fit(data.targets).transform(data.targets))  # (N, 1)
        self.x = torch.from_numpy(matrix)[:, None]  # (N, 1, 13)
        self.examples = Examples(Sequences(matrix, data.lengths), self.y, torch.ones(len(data)))
        torch.manual_seed(0)
        self.start = PlainNetwork().state_dict()

    def plain(self) -> nn.Module:
        network = PlainNetwork()
        network.load_state_dict(self.start)
        return network

    def ours(self) -> nn.Module:
        network = Network(13, 1, hidden_size=32, num_layers=4)
        network.load_state_dict(self.start)
        return network


def parity(both: Contenders) -> list[dict[str, float]]:
    """Losses side by side. Full-batch Adam doubles a rounding many times over, so noise is measured, not assumed."""
    epochs = max(PARITY_EPOCHS)
    plain, _ = plain_epochs(both.plain(), both.x, both.y, epochs)
    ours, _ = our_epochs(both.ours(), both.examples, epochs)
    fused, _ = plain_epochs(both.plain(), both.x, both.y, epochs, fused=True)
    with use_kernel("torch"):
        same, _ = our_epochs(both.ours(), both.examples, epochs)
    turned = []
    for seed in range(NOISE_RUNS):
        order = torch.randperm(len(both.x), generator=torch.Generator().manual_seed(seed))
        turned.append(plain_epochs(both.plain(), both.x[order], both.y[order], epochs)[0])
    rows = []
    for epoch in PARITY_EPOCHS:
        p, o = plain[epoch - 1], ours[epoch - 1]
        noise = max(abs(losses[epoch - 1] - p) for losses in turned) / p
        f = fused[epoch - 1]
        differences = {"plain": abs(o - p) / p, "fused": abs(same[epoch - 1] - f) / f}
        rows.append({"epoch": epoch, "plain": p, "fused": f, "ours": o, "differences": differences, "noise": noise})
        print(
            f"epoch {epoch:5d}   plain {p:.8f}   ours {o:.8f}   relative difference {differences['plain']:.1e}   "
            f"with torch's kernel and fused Adam {differences['fused']:.1e}   noise {noise:.1e}"
        )
        assert differences["fused"] <= 1e-6, f"epoch {epoch}: the losses differ"
        assert differences["plain"] <= max(2 * noise, 1e-6), f"epoch {epoch}: the losses differ by more than rounding"
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/boston.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {"parity": parity(Contenders())}
    if options.store:
        print("stored", store("boston", results))


if __name__ == "__main__":
    main()
