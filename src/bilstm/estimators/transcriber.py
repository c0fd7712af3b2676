"""BiLSTMTranscriber: the text of a recording, by CTC.

Knows the order of the work; what makes a recording useless recording_checks.py knows, how it is heard recognition.py,
how scores become text transcripts.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
import polars as pl
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from bilstm.data.batch import Sequences
from bilstm.data.columns import Array
from bilstm.data.dataset import Dataset
from bilstm.data.sound.encoder import SoundEncoder
from bilstm.data.sound.reader import EXTRA, read_sound, resampled
from bilstm.data.sound.recordings import Recordings, from_sounds, most_common_rate, read_recordings
from bilstm.data.sound.utterances import SAME, SoundCache, Utterances, at_speed, key_of
from bilstm.data.stream import Stream
from bilstm.data.tables.folder import is_folder
from bilstm.data.text.encoder import BLANK, SPACE, CharacterEncoder
from bilstm.errors import DataError, from_extra, warn
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.inputs import Columns, Readable
from bilstm.estimators.parameters import store
from bilstm.estimators.recognition import scores_of, texts_of_stream
from bilstm.estimators.recording_checks import (
    Finding,
    check_texts,
    empty_texts,
    extract_features,
    report_findings,
    steps_needed,
    usable,
)
from bilstm.estimators.space import SOUND
from bilstm.estimators.transcripts import Comparison, Decoder, Decoding, Transcript, columns_of
from bilstm.formatting import counted, shortened
from bilstm.metrics.transcripts import transcript_metrics
from bilstm.networks.speech import SpeechNetwork
from bilstm.nn.ctc.functions import ctc_loss
from bilstm.training.host import isolated

LOST = "its text has no alignment with its sound, so its loss is infinite"


class BiLSTMTranscriber(BiLSTMEstimator):
    """Writes down what is said in recordings, character by character, with a BiLSTM trained by CTC.

    .. math:: P(y \\mid x) = \\sum_{a \\in \\mathcal{B}^{-1}(y)} \\prod_t p_\\theta(a_t \\mid x)

    a is an alignment: at each step a character or the blank; B joins equal neighbours and takes the blanks out. The
    characters are those of the training texts, of any script; nobody has to say when each of them is spoken.

    ``fit`` takes Recordings; or a list of paths, of bytes of sound files, of waveforms (T,) in ±1 at ``sample_rate``,
    or of pairs (waveform, rate), and what is said in each.

    Args:
        sample_rate: Hz that every sound is brought to; none takes the most common one in training, at most 16000.
        mels: bands of the log-mel spectrum.
        stack: frames of 10 ms in a step.
        normalise: running (less the mean so far: can be streamed) or utterance (less the mean of the recording).
        speed_change: recordings are also played faster and slower by this share while training; 0 does not.
        masks: cover random bands and spans of time while training.
        patience: epochs without fewer wrong words after which training stops; none never stops early.
        validation_fraction: share of the recordings (of whole groups, if any) to stop by; 0 trains on all to the end.
        strict: a recording or text that cannot be learned from is an error; otherwise it is left out and reported.

    The other parameters are described at :class:`bilstm.estimators.base.BiLSTMEstimator`.

    Attributes:
        characters_: the characters, and their numbers.
        sound_: the encoder of sound, fitted on the training recordings.
        left_out_: what could not be learned from, as pairs (name, why).
        network_: the trained network.
        history_: what training did, a History; its loss is that of a character.

    The trap: the error on voices that were heard in training flatters; hold out whole speakers (``groups``).

    Example:
        >>> from bilstm.demo.tones import dial_tones
        >>> sounds, texts = dial_tones(8, rate=8000)
        >>> model = BiLSTMTranscriber(hidden_size=8, num_layers=1, sample_rate=8000, max_epochs=1).fit(sounds, texts)
        >>> len(model.predict(sounds[:3]))
        3

    Source: Graves, Fernández, Gomez and Schmidhuber 2006 (CTC); Graves and Jaitly 2014 (characters, deep BiLSTM).
    """

    task = "transcriber"
    unit = "recording"
    summary = "The text of a recording."
    fit_example = "train.csv --group speaker -o digits.bilstm"
    tune_example = "train.csv --group speaker --minutes 600 --search batch_size=8 -o digits.bilstm"
    data_help = (
        "A CSV, Parquet or JSON lines file with the columns path (of a sound file, seen from the folder of the table) "
        "and text (what is said in it)."
    )
    reading = ("sound", "text", "group")
    reads_many_files = True
    predict_options = ("lm", "lm_weight", "word_bonus", "hot_words", "beam", "look_ahead")
    option_help: ClassVar = {
        "group": "The column that names the speaker: whole speakers are then held out to stop by.",
        "text": "The column of what is said, if it is not called text.",
    }
    metric_name = "word accuracy"
    keeps_best_metric = True
    higher_is_better = True
    space = SOUND
    compare_trials_by = "metric"

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

    def __init__(
        self,
        *,
        hidden_size: int = 320,
        num_layers: int = 3,
        dropout: float = 0.4,
        sample_rate: int | None = None,
        mels: int = 40,
        stack: int = 3,
        normalise: str = "running",
        speed_change: float = 0.1,
        masks: bool = True,
        optimizer: str = "adam",
        learning_rate: float = 0.001,
        weight_decay: float = 0.0,
        schedule: str = "cosine",
        clip_norm: float | None = 5.0,
        batch_size: int | None = 8,
        max_epochs: int = 80,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        strict: bool = False,
        random_state: Any = 0,
        device: str = "auto",
        checkpoint: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        store(self, locals())

    def _end_fit(self) -> None:
        if (features := self.__dict__.pop("_features", None)) is not None:
            features.close()

    # -- read --------------------------------------------------------------------------------------------

    @classmethod
    def read_for_fit(cls, path: str, *, like: Dataset | Stream | None = None, **columns: Unpack[Columns]) -> Recordings:
        """Read which recordings to train on; see :func:`bilstm.data.sound.recordings.read_recordings`."""
        if is_folder(path):
            hint = "a table with the columns path and text says what is said in each sound"
            raise DataError(f"expected one file for a {cls.task}, got a folder ({path})", hint=hint)
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
            hint = "a table with the columns path and text, or sounds and a list of their texts"
            raise DataError(f"expected recordings with their texts, got none ({dataset.source})", hint=hint)
        return dataset

    # -- predict -------------------------------------------------------------------------------------------

    def outputs(self, X: Any) -> Any:
        """Scores (T_i, K) of each recording, in the caller's order; None of those that cannot be heard."""
        check_is_fitted(self)
        return self.scores(self.to_dataset(X, None))[0]

    def scores(
        self, recordings: Recordings, look_ahead: float | None = None
    ) -> tuple[list[Array | None], list[Finding]]:
        """Scores (T_i, K) of each recording or None, and what is wrong with which."""
        with isolated():
            return scores_of(self.network_.to(self._device()), self.sound_, recordings, look_ahead)

    def predict(self, X: Any, **decoding: Any) -> list[str]:
        """The text of each recording, in the caller's order.

        Args:
            X: as in ``fit``.
            decoding: see :class:`bilstm.estimators.transcripts.Decoding`: ``lm``, ``hot_words``, ``beam``, ….

        Raises:
            DataError: a recording cannot be read; :meth:`transcribe` goes on with the others.
        """
        check_is_fitted(self)
        transcripts = self._transcribed(self.to_dataset(X, None), Decoding(**decoding), strict=True)
        return [transcript.text for transcript in transcripts]

    def transcribe(self, X: Any, **decoding: Any) -> list[Transcript]:
        """Text, words with times and confidences, and other readings of each recording, in the caller's order.

        What cannot be read or heard has an empty text, and a ``note`` that says why.

        Args:
            X: as in ``fit``.
            decoding: as in :meth:`predict`.
        """
        check_is_fitted(self)
        return self._transcribed(self.to_dataset(X, None), Decoding(**decoding), strict=False)

    def prediction_columns(self, X: Any) -> list[pl.Series]:
        """``path``, ``text`` and ``confidence`` of each recording, and a ``note`` where one has one."""
        recordings = self.to_dataset(X, None)
        return columns_of(recordings.names, self.transcribe(recordings))

    def _transcribed(self, recordings: Recordings, decoding: Decoding, strict: bool) -> list[Transcript]:
        decoder = self.decoder(decoding)
        scores, findings = self.scores(recordings, decoding.look_ahead)
        if strict:
            report_findings([f for f in findings if f.is_useless], len(recordings), recordings.source, strict=True)
        notes = {finding.row: finding.what for finding in reversed(findings)}
        heard = iter(decoder.transcripts([one for one in scores if one is not None]))
        transcripts = (Transcript("", 0.0) if one is None else next(heard) for one in scores)
        return [replace(transcript, note=notes.get(row)) for row, transcript in enumerate(transcripts)]

    def decoder(self, decoding: Decoding) -> Decoder:
        return Decoder(self.characters_, self.sound_.step_seconds, decoding)

    def stream(
        self, chunks: Iterable[Array], *, rate: int | None = None, look_ahead: float = 0.5, block: float = 0.25
    ) -> Iterator[str]:
        """The text of a recording while it comes in: all of it so far, each time that it has grown.

        The forward direction of the BiLSTM goes on from block to block; the backward direction starts anew at the end
        of each look-ahead (Zhang et al. 2016). Text comes at most ``look_ahead + block`` seconds after its sound, and
        is never taken back. With a look-ahead of the whole recording it is the text of ``predict(…, beam=1)``.

        Args:
            chunks: parts of a waveform in ±1, of any sizes.
            rate: of the chunks, in Hz; None: the model's own, ``sound_.rate``.
            look_ahead: seconds of sound to wait for behind the sound that is written down.
            block: seconds of sound that are written down together; short blocks take more work.

        Raises:
            ParameterError: the model was trained with normalise='utterance', which needs the whole recording.

        Example:
            >>> for text in model.stream(sound_blocks("talk.wav", model.sound_.rate, 0.1)):  # doctest: +SKIP
            ...     print(text)
        """
        check_is_fitted(self)
        network, heard = self.network_.to(self._device()), resampled(chunks, rate or self.sound_.rate, self.sound_.rate)
        return texts_of_stream(network, self.sound_, self.characters_, heard, look_ahead, block)

    # -- measure -------------------------------------------------------------------------------------------

    def score(self, X: Any, y: Any = None, **decoding: Any) -> float:
        """1 − WER: the share of words that are right, less the share of words that are too many."""
        return 1 - self.compare(X, y, **decoding).metrics["wer"]

    def compare(self, X: Any, y: Any = None, **decoding: Any) -> Comparison:
        """True texts beside understood ones: ``.metrics`` (wer, cer, exact, n) and ``.alignment()``, in words.

        Recordings that cannot be heard, or have no text, are left out with a report; with ``strict`` they are errors.

        Args:
            X: as in ``fit``.
            y: what is said in each.
            decoding: as in :meth:`predict`.
        """
        check_is_fitted(self)
        recordings = self.with_targets(self.to_dataset(X, y))
        how = Decoding(**decoding)
        decoder = self.decoder(how)
        scores, findings = self.scores(recordings, how.look_ahead)
        report_findings(findings + empty_texts(recordings), len(recordings), recordings.source, self.strict)
        if strange := self.characters_.unknown(recordings.texts_said):
            shown = ", ".join(map(repr, sorted(strange)))
            warn(f"the texts have characters that the model cannot write: {shown} ({recordings.source})", stacklevel=2)
        return _compared(recordings, scores, decoder)

    # -- hooks ---------------------------------------------------------------------------------------------

    def training_data(self, X: Any, y: Any) -> Recordings:
        from_extra("jiwer", EXTRA)  # which measures epochs: better missed now than after the first
        recordings = self.with_targets(self._recordings(X, y, self.sample_rate))
        if len(recordings) < 2:
            raise DataError(f"expected at least 2 recordings to learn from, got {len(recordings)}")
        rate = self.sample_rate or most_common_rate(recordings)
        self.sound_ = SoundEncoder(rate=rate, mels=self.mels, stack=self.stack, normalise=self.normalise)
        self._remember_columns(recordings)
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
        """What is wrong with texts is found with the sounds, in :meth:`_usable`."""

    def _split(self, dataset: Dataset, validation: Any, seed: int) -> tuple[Array, Dataset | None]:
        """As of other data, of the recordings that can be learned from; whole groups are held out where there are."""
        assert isinstance(dataset, Recordings)
        self.left_out_ = []
        rows = self._usable(dataset)
        if len(rows) < 2:
            usable_ones = f"got {len(rows)} ({dataset.source})"
            raise DataError(f"expected at least 2 recordings that can be learned from, {usable_ones}")
        chosen = dataset.take(rows)
        share = self.validation_fraction
        if validation is None and share and chosen.groups is not None and chosen.groups.n_unique() > 1:
            groups = [group or "" for group in chosen.groups.cast(pl.String)]  # those of unknown speakers stay together
            splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
            learned, held_out = next(splitter.split(rows, groups=groups))
            return rows[learned], chosen.take(held_out)
        learned, others = super()._split(chosen, validation, seed)
        if validation is not None:
            assert isinstance(others, Recordings)
            kept = self._usable(others)
            if not len(kept):
                raise DataError(f"expected a recording to stop by that can be used, got none ({others.source})")
            others = others.take(kept)
        return rows[learned], others

    def _usable(self, recordings: Recordings) -> Array:
        """Positions of the recordings that can be learned from; the others are reported."""
        findings = extract_features(recordings, self.sound_, self._features, self.verbose)
        findings = sorted(findings + check_texts(recordings, self.sound_, self._features))
        report_findings(findings, len(recordings), recordings.source, self.strict)
        self.left_out_ += [(finding.name, finding.what) for finding in findings if finding.is_useless]
        return usable(findings, len(recordings))

    @cached_property
    def _features(self) -> SoundCache:
        """Features of what this fit has read, on disk; they go when it ends."""
        return SoundCache()

    def _fit_encoders(self, training: Dataset) -> None:
        recordings = self.with_targets(training)
        self.sound_.fit(self._features.get((key_of(sound), SAME)) for sound in recordings.sounds)
        self.characters_ = CharacterEncoder().fit(recordings.texts_said)

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
        texts = [self.characters_.transform(text) for text in self.with_targets(dataset).texts_said]
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

    def _loss(self, outputs: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        """−log P(text) a character, (B,)."""
        texts = targets[..., 0].long()  # (B, U), 0 behind their ends
        counts = (texts != BLANK).sum(dim=1)
        return ctc_loss(outputs, texts, lengths, counts) / counts.clamp(min=1).to(outputs.device)

    def decode(self, outputs: Array, lengths: Array) -> list[str]:
        """The best character of every step: outputs (S, K) of recordings one below the other, lengths (N,)."""
        scores = np.split(outputs, np.cumsum(lengths)[:-1])
        return self.decoder(Decoding(beam=1)).texts(scores)

    def _metric(self, held_out: Dataset, outputs: Array) -> float:
        understood = self.decode(outputs, self.encode(held_out).lengths.numpy())
        return 1 - transcript_metrics(self.with_targets(held_out).texts_said, understood)["wer"]

    def measure(self, dataset: Dataset, outputs: Any) -> dict[str, float]:
        return _compared(self.with_targets(dataset), outputs, self.decoder(Decoding())).metrics

    def describe(self) -> str:
        characters = counted(len(self.characters_) - 1, "character")
        return f"A transcriber: it writes down what is said in recordings, in {characters}."

    def learned_facts(self) -> list[tuple[str, str]]:
        sound, left = self.sound_, getattr(self, "left_out_", [])  # no model file keeps which were left out
        characters = self.characters_.inverse(range(1, len(self.characters_))).replace(SPACE, "␣")
        features = f"{sound.rate:,} Hz, {counted(sound.mels, 'band')}, steps of {1000 * sound.step_seconds:g} ms"
        facts = [("characters", shortened(characters, 200)), ("sound", features)]
        if left:
            facts.append(("left out", f"{counted(len(left), 'recording')} that could not be learned from"))
        return facts

    def _infinite(self, training: Dataset) -> Callable[[Tensor], None]:
        """Names a recording whose text CTC rules out, once, and goes on without it."""
        names = self.with_targets(training).names

        def leave_out(rows: Tensor) -> None:
            for row in rows.tolist():
                name = names[row]
                if name not in dict(self.left_out_):
                    self.left_out_.append((name, LOST))
                    warn(f"{name}: {LOST}; it is left out of such steps", stacklevel=2)

        return leave_out

    # -- model file ----------------------------------------------------------------------------------------

    def encoders(self) -> dict[str, Any]:
        return {"sound": self.sound_.to_json(), "characters": self.characters_.to_json()}

    def restore_encoders(self, encoders: dict[str, Any]) -> None:
        self.is_language_ = False
        self.sound_ = SoundEncoder.from_json(encoders["sound"])
        self.characters_ = CharacterEncoder.from_json(encoders["characters"])


def _compared(recordings: Recordings, scores: Sequence[Array | None], decoder: Decoder) -> Comparison:
    """Of the recordings that could be heard and have a text."""
    texts, names = recordings.texts_said, recordings.names
    heard = [(row, one) for row, one in enumerate(scores) if one is not None and texts[row].strip()]
    if not heard:
        raise DataError(f"expected recordings that can be heard, with texts, got none ({recordings.source})")
    understood = decoder.texts([one for _, one in heard])
    return Comparison([texts[row] for row, _ in heard], understood, [names[row] for row, _ in heard])
