"""Bidirectional LSTMs: the equations, a layer that is nn.LSTM with lengths, and finished models from a file.

Names are resolved on first use, so that ``import bilstm`` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bilstm.data.batch import Batch as Batch
    from bilstm.data.builtin import boston as boston
    from bilstm.data.builtin import digits as digits
    from bilstm.data.builtin import sunspots as sunspots
    from bilstm.data.dataset import Dataset as Dataset
    from bilstm.data.folder import read_folder as read_folder
    from bilstm.data.recordings import read_recordings as read_recordings
    from bilstm.data.sentences import read_sentences as read_sentences
    from bilstm.data.series import read_series as read_series
    from bilstm.data.tables import read_table as read_table
    from bilstm.data.text import read_texts as read_texts
    from bilstm.errors import BilstmError as BilstmError
    from bilstm.estimators.classifier import BiLSTMClassifier as BiLSTMClassifier
    from bilstm.estimators.forecaster import BiLSTMForecaster as BiLSTMForecaster
    from bilstm.estimators.regressor import BiLSTMRegressor as BiLSTMRegressor
    from bilstm.estimators.tagger import BiLSTMTagger as BiLSTMTagger
    from bilstm.estimators.transcriber import BiLSTMTranscriber as BiLSTMTranscriber
    from bilstm.history import History as History
    from bilstm.metrics import evaluate as evaluate
    from bilstm.model_file import load as load
    from bilstm.nn.bilstm import BiLSTM as BiLSTM
    from bilstm.surgery.examination import audit as audit
    from bilstm.surgery.transplant import accelerate as accelerate

_HOMES = {
    "Batch": "bilstm.data.batch",
    "BiLSTM": "bilstm.nn.bilstm",
    "BiLSTMClassifier": "bilstm.estimators.classifier",
    "BiLSTMForecaster": "bilstm.estimators.forecaster",
    "BiLSTMRegressor": "bilstm.estimators.regressor",
    "BiLSTMTagger": "bilstm.estimators.tagger",
    "BiLSTMTranscriber": "bilstm.estimators.transcriber",
    "BilstmError": "bilstm.errors",
    "Dataset": "bilstm.data.dataset",
    "History": "bilstm.history",
    "accelerate": "bilstm.surgery.transplant",
    "audit": "bilstm.surgery.examination",
    "boston": "bilstm.data.builtin",
    "digits": "bilstm.data.builtin",
    "evaluate": "bilstm.metrics",
    "load": "bilstm.model_file",
    "read_folder": "bilstm.data.folder",
    "read_recordings": "bilstm.data.recordings",
    "read_sentences": "bilstm.data.sentences",
    "read_series": "bilstm.data.series",
    "read_table": "bilstm.data.tables",
    "read_texts": "bilstm.data.text",
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
