"""Bidirectional LSTMs: the equations, a layer that is nn.LSTM with lengths, and finished models from a file.

Names are resolved on first use, so that ``import bilstm`` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bilstm.data.batch import Batch
    from bilstm.data.builtin import boston, digits, sunspots
    from bilstm.data.dataset import Dataset
    from bilstm.data.series.reader import read_series
    from bilstm.data.sound.recordings import read_recordings
    from bilstm.data.tables.folder import read_folder
    from bilstm.data.tables.reader import read_table
    from bilstm.data.text.reader import read_sentences, read_texts
    from bilstm.errors import BilstmError
    from bilstm.estimators.classifier import BiLSTMClassifier
    from bilstm.estimators.forecaster import BiLSTMForecaster
    from bilstm.estimators.loading import load
    from bilstm.estimators.regressor import BiLSTMRegressor
    from bilstm.estimators.tagger import BiLSTMTagger
    from bilstm.estimators.transcriber import BiLSTMTranscriber
    from bilstm.metrics.predictions import evaluate
    from bilstm.nn.lstm.layer import BiLSTM
    from bilstm.surgery.examination import audit
    from bilstm.surgery.transplant import accelerate
    from bilstm.training.history import History

_HOMES = {
    "Batch": "bilstm.data.batch",
    "BiLSTM": "bilstm.nn.lstm.layer",
    "BiLSTMClassifier": "bilstm.estimators.classifier",
    "BiLSTMForecaster": "bilstm.estimators.forecaster",
    "BiLSTMRegressor": "bilstm.estimators.regressor",
    "BiLSTMTagger": "bilstm.estimators.tagger",
    "BiLSTMTranscriber": "bilstm.estimators.transcriber",
    "BilstmError": "bilstm.errors",
    "Dataset": "bilstm.data.dataset",
    "History": "bilstm.training.history",
    "accelerate": "bilstm.surgery.transplant",
    "audit": "bilstm.surgery.examination",
    "boston": "bilstm.data.builtin",
    "digits": "bilstm.data.builtin",
    "evaluate": "bilstm.metrics.predictions",
    "load": "bilstm.estimators.loading",
    "read_folder": "bilstm.data.tables.folder",
    "read_recordings": "bilstm.data.sound.recordings",
    "read_sentences": "bilstm.data.text.reader",
    "read_series": "bilstm.data.series.reader",
    "read_table": "bilstm.data.tables.reader",
    "read_texts": "bilstm.data.text.reader",
    "sunspots": "bilstm.data.builtin",
}

__all__ = [
    "Batch",
    "BiLSTM",
    "BiLSTMClassifier",
    "BiLSTMForecaster",
    "BiLSTMRegressor",
    "BiLSTMTagger",
    "BiLSTMTranscriber",
    "BilstmError",
    "Dataset",
    "History",
    "accelerate",
    "audit",
    "boston",
    "digits",
    "evaluate",
    "load",
    "read_folder",
    "read_recordings",
    "read_sentences",
    "read_series",
    "read_table",
    "read_texts",
    "sunspots",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("bilstm")
    if name not in _HOMES:
        raise AttributeError(f"module 'bilstm' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
