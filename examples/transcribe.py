"""Digits from the tones of a telephone's keys, written down while they come in."""

import numpy as np

from bilstm import BiLSTMTranscriber
from bilstm.demo.tones import dial_tones

sounds, texts = dial_tones(60)
model = BiLSTMTranscriber(
    sample_rate=8000, hidden_size=24, num_layers=1, mels=24, stack=1, learning_rate=0.005, max_epochs=3,
    speed_change=0.0, masks=False,
)  # fmt: skip
model.fit(sounds, texts)  # far too short to learn much; `bilstm demo transcriber` takes its time

print("said:      ", texts[0])
print("understood:", model.predict(sounds[:1])[0])
for text in model.stream(np.array_split(sounds[0], 10), look_ahead=0.1):
    print("so far:    ", text)
print(model.compare(sounds, texts).metrics)
