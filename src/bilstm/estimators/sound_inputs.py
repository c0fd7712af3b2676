"""What a transcriber does with data: recordings in any form, their survey, their features. Knows no decoding."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import polars as pl
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils.validation import check_is_fitted

from bilstm.data.batch import Sequences
from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.sound.encoder import SoundEncoder
from bilstm.data.sound.reader import EXTRA, read_sound
from bilstm.data.sound.recordings import Recordings, from_sounds, most_common_rate, read_recordings
from bilstm.data.sound.utterances import SAME, SoundCache, Utterances, at_speed, key_of
from bilstm.data.stream import Stream
from bilstm.data.tables.folder import is_folder
from bilstm.data.text.encoder import CharacterEncoder
from bilstm.errors import DataError, from_extra
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.inputs import Columns, Readable
from bilstm.estimators.listening import in_blocks
from bilstm.estimators.survey import Finding, listen, read_texts, report, steps_needed, usable
from bilstm.networks.speech import SpeechNetwork
from bilstm.training.loop import predict

TOGETHER = 32  # recordings that are read before the network hears them
LONG = 60.0  # seconds above which a recording is heard in blocks, so that memory does not grow with it
STREAM_BLOCK = 0.25  # seconds of a stream that are written down together
BLOCK, BLOCK_AHEAD = 20.0, 10.0  # seconds of such a block, and of what it sees behind itself


class SoundEstimator(BiLSTMEstimator):
    """Base of the estimator that hears; not for direct use."""

    sample_rate: int | None
    mels: int
    stack: int
    normalise: str
    speed_change: float
    masks: bool
    strict: bool

    sound_: SoundEncoder
    characters_: CharacterEncoder
    left_out_: list[tuple[str, str]]
    network_: SpeechNetwork

    # -- fit -----------------------------------------------------------------------------------------------

    def training_data(self, X: Any, y: Any) -> Recordings:
        from_extra("jiwer", EXTRA)  # which measures epochs: better missed now than after the first
        recordings = self._recordings(X, y, self.sample_rate)
        if recordings.targets is None:
            raise DataError(
                f"expected recordings with their texts, got none ({recordings.source})",
                hint="a table with the columns path and text, or fit(sounds, texts)",
            )
        if len(recordings) < 2:
            raise DataError(f"expected at least 2 recordings to learn from, got {len(recordings)}")
        rate = self.sample_rate or most_common_rate(recordings)
        self.sound_ = SoundEncoder(rate=rate, mels=self.mels, stack=self.stack, normalise=self.normalise)
        self.feature_names_ = recordings.feature_names
        self.n_features_in_ = len(self.feature_names_)
        self.target_names_ = recordings.target_names
        self.read_with_ = dict(recordings.read_with)
        return recordings

    def _recordings(self, X: Any, y: Any, rate: int | None) -> Recordings:
        if isinstance(X, Recordings):
            if y is not None:
                raise DataError("expected no y beside Recordings, which hold their texts, got one")
            return X
        if isinstance(X, Dataset):
            raise DataError(f"expected recordings, got a table or sequences ({X.source})", hint="use read_recordings")
        return from_sounds(X, y, rate=rate)

    def _update_targets(self, dataset: Dataset) -> None:
        """What is wrong with texts is found with the sounds, in the survey."""

    def _split(self, dataset: Dataset, validation: Any, seed: int) -> tuple[Array, Dataset | None]:
        """As of other data, of the recordings that can be learned from; whole groups are held out where there are."""
        assert isinstance(dataset, Recordings)
        self.left_out_ = []
        rows = self._survey(dataset)
        if len(rows) < 2:
            raise DataError(
                f"expected at least 2 recordings that can be learned from, got {len(rows)} ({dataset.source})"
            )
        chosen = dataset.take(rows)
        if validation is None and chosen.groups is not None and chosen.groups.n_unique() > 1:
            share = self.validation_fraction
            if share == 0:
                return rows, None
            groups = chosen.groups.cast(pl.String).fill_null("")  # those of unknown speakers stay together
            splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
            learned, held_out = next(splitter.split(rows, groups=groups.to_numpy()))
            return rows[learned], chosen.take(held_out)
        learned, others = super()._split(chosen, validation, seed)
        if validation is not None:
            assert isinstance(others, Recordings)
            kept = self._survey(others)
            if not len(kept):
                raise DataError(f"expected a recording to stop by that can be used, got none ({others.source})")
            others = others.take(kept)
        return rows[learned], others

    def _survey(self, recordings: Recordings) -> Array:
        """Positions of the recordings that can be learned from; the others are reported."""
        found = listen(recordings, self.sound_, self._features, self.verbose)
        found = sorted(found + read_texts(recordings, self.sound_, self._features))
        report(found, len(recordings), recordings.source, self.strict)
        self.left_out_ += [(finding.name, finding.what) for finding in found if finding.is_useless]
        return usable(found, len(recordings))

    @property
    def _features(self) -> SoundCache:
        """Features of what this fit has read, on disk; they go when it ends."""
        if "_cache" not in self.__dict__:
            self.__dict__["_cache"] = SoundCache()
        found: SoundCache = self.__dict__["_cache"]
        return found

    def _forget_features(self) -> None:
        cache = self.__dict__.pop("_cache", None)
        if cache is not None:
            cache.close()

    def _fit_encoders(self, training: Dataset) -> None:
        assert isinstance(training, Recordings)
        self.sound_.fit(self._features.get((key_of(sound), SAME)) for sound in training.sounds)
        self.characters_ = CharacterEncoder().fit(training.texts_said)

    def encode(self, dataset: Dataset) -> Sequences:
        """Recordings of this fit, whose features are known."""
        assert isinstance(dataset, Recordings)
        change = self.speed_change

        def played(row: int, speed: float) -> Array:
            waveform = read_sound(dataset.sounds[row], self.sound_.rate, array_rate=self.sound_.rate)
            return self.sound_.mel(at_speed(waveform, self.sound_.rate, speed))

        return Utterances(
            [key_of(sound) for sound in dataset.sounds],
            self._features,
            self.sound_,
            at_speed=played,
            speeds=(1 - change, SAME, 1 + change) if change else (SAME,),
            needed=steps_needed(dataset),
        )

    def _targets(self, dataset: Dataset) -> Sequences:
        assert isinstance(dataset, Recordings)
        texts = [self.characters_.transform(text) for text in dataset.texts_said]
        flat = np.array([number for text in texts for number in text], dtype=np.float32)
        return Sequences(flat.reshape(-1, 1), np.array([len(text) for text in texts]))

    def _head(self) -> int:
        return len(self.characters_)

    def build_network(self) -> SpeechNetwork:
        return SpeechNetwork(
            self.sound_.input_size,
            self._head(),
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            dropout=self.dropout,
            stack=self.stack,
            masks=self.masks,
        )

    # -- predict -------------------------------------------------------------------------------------------

    @classmethod
    def read_for_fit(cls, path: str, *, like: Dataset | Stream | None = None, **columns: Unpack[Columns]) -> Recordings:
        """Read which recordings to train on; see :func:`bilstm.data.sound.recordings.read_recordings`."""
        if is_folder(path):
            hint = "a table with the columns path and text says what is said in each sound"
            raise DataError(f"expected one table of recordings, got a folder ({path})", hint=hint)
        text, sound = columns.get("text") or "text", columns.get("sound") or "path"
        return read_recordings(path, text=text, sound=sound, group=columns.get("group"))

    def read(self, path: Readable, *, with_targets: bool = False, text: str | None = None) -> Recordings:
        """Read recordings as this model needs them; see :func:`bilstm.data.sound.recordings.read_recordings`."""
        check_is_fitted(self)
        if isinstance(path, bytes):
            return from_sounds([path], rate=self.sound_.rate)
        names = {name: column for name, column in self.read_with_.items() if name != "group"}
        if text is not None:
            names["text"] = text
        return read_recordings(path, **names, with_targets=with_targets)

    def to_dataset(self, X: Any, y: Any) -> Recordings:
        return self._recordings(X, y, self.sound_.rate)

    def with_targets(self, dataset: Dataset) -> Recordings:
        if not isinstance(dataset, Recordings) or dataset.targets is None:
            raise DataError(f"expected recordings with their texts, got none ({dataset.source})")
        return dataset

    def outputs(self, X: Any) -> Any:
        """Scores (T_i, K) of each recording, in the caller's order; None of those that cannot be heard."""
        check_is_fitted(self)
        return self.scores(self.to_dataset(X, None))[0]

    def scores(
        self, recordings: Recordings, look_ahead: float | None = None
    ) -> tuple[list[Array | None], list[Finding]]:
        """Scores (T_i, K) of each recording or None, and what is wrong with which."""
        scores: list[Array | None] = []
        found: list[Finding] = []
        for first in range(0, len(recordings), TOGETHER):
            part = recordings.take(np.arange(first, min(first + TOGETHER, len(recordings))))
            with SoundCache() as features:
                found += [f._replace(row=f.row + first) for f in listen(part, self.sound_, features)]
                scores += self._scores(part, features, look_ahead)
        return scores, found

    def _scores(self, recordings: Recordings, features: SoundCache, look_ahead: float | None) -> list[Array | None]:
        keys = [key_of(sound) for sound in recordings.sounds]
        mels = {key: features.get((key, SAME)) for key in dict.fromkeys(keys) if features.has((key, SAME))}
        whole = LONG if look_ahead is None else 0.0
        times = (BLOCK, BLOCK_AHEAD) if look_ahead is None else (STREAM_BLOCK, look_ahead)
        short = [key for key, mel in mels.items() if self._seconds(mel) <= whole]
        by_key = {key: self._in_blocks(mels[key], *times) for key in mels if key not in set(short)}
        if short:
            utterances = Utterances(short, features, self.sound_)
            device = self._device()
            outputs = predict(self.network_.to(device), utterances, device).numpy()  # (S, K)
            parts = np.split(outputs, np.cumsum(utterances.lengths.numpy())[:-1])
            by_key |= dict(zip(short, parts, strict=True))
        return [by_key.get(key) for key in keys]

    def _seconds(self, mel: Array) -> float:
        return self.sound_.steps(len(mel)) * self.sound_.step_seconds

    def _in_blocks(self, mel: Array, block: float, look_ahead: float) -> Array:
        """Scores (T, K) of a recording that is heard block by block."""
        count, ahead = max(1, self.sound_.whole_steps(block)), self.sound_.whole_steps(look_ahead)
        network = self.network_.to(self._device())
        return np.concatenate(list(in_blocks(network, [self.sound_.encoded(mel)], count, ahead)))

    # -- model file ----------------------------------------------------------------------------------------

    def encoders(self) -> dict[str, Any]:
        return {"sound": self.sound_.to_json(), "characters": self.characters_.to_json()}

    def restore_encoders(self, encoders: dict[str, Any]) -> None:
        self.is_language_ = False
        self.sound_ = SoundEncoder.from_json(encoders["sound"])
        self.characters_ = CharacterEncoder.from_json(encoders["characters"])
