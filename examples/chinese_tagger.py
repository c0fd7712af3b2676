"""Persons, places and firms in Chinese, one character a word: a tagger with a CRF, on sentences it makes itself."""

from bilstm import BiLSTMTagger, evaluate
from bilstm.demo.invented import invented_sentences

data = invented_sentences(800, language="chinese")
training, held_out = data.take(range(600)), data.take(range(600, 800))

model = BiLSTMTagger(hidden_size=48, max_epochs=6, batch_size=16).fit(training)
print(evaluate(model, held_out))

text = "记者王小明报道，华信银行将在东海市开会。"
for entity in model.entities([text])[0]:
    print(entity.text, entity.type, f"{entity.probability:.3f}", text[entity.start : entity.end] == entity.text)

for tags, probability in model.best([text], n=2)[0]:
    print(f"{probability:.4f}", " ".join(f"{character}/{tag}" for character, tag in zip(text, tags, strict=True)))
