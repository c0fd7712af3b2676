# The public names, each once; `lazy_loader` imports them on first use.

from .data.batch import Batch as Batch
from .data.builtin import boston as boston
from .data.builtin import digits as digits
from .data.builtin import sunspots as sunspots
from .data.dataset import Dataset as Dataset
from .data.series.reader import read_series as read_series
from .data.sound.recordings import read_recordings as read_recordings
from .data.tables.folder import read_folder as read_folder
from .data.tables.reader import read_table as read_table
from .data.text.reader import read_sentences as read_sentences
from .data.text.reader import read_texts as read_texts
from .errors import BilstmError as BilstmError
from .estimators.classifier import BiLSTMClassifier as BiLSTMClassifier
from .estimators.forecaster import BiLSTMForecaster as BiLSTMForecaster
from .estimators.loading import load as load
from .estimators.regressor import BiLSTMRegressor as BiLSTMRegressor
from .estimators.tagger import BiLSTMTagger as BiLSTMTagger
from .estimators.transcriber import BiLSTMTranscriber as BiLSTMTranscriber
from .metrics.predictions import evaluate as evaluate
from .nn.lstm.layer import BiLSTM as BiLSTM
from .surgery.examination import audit as audit
from .surgery.transplant import accelerate as accelerate
from .training.history import History as History

__version__: str
