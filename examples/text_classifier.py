"""Questions by what they ask for: a classifier of raw text, its probabilities, and a model file."""

import bilstm

QUESTIONS = {
    "person": ["Who wrote Faust ?", "Who painted it ?", "Which king built this ?", "Whose idea was it ?"],
    "place": ["Where is Bonn ?", "Which city is oldest ?", "Where do pandas live ?", "What country is that ?"],
    "number": ["How many legs has a crab ?", "How tall is it ?", "How much is this ?", "How old was he ?"],
}
texts = [text for kind in QUESTIONS.values() for text in kind] * 10
labels = [name for name, kind in QUESTIONS.items() for _ in kind] * 10

model = bilstm.BiLSTMClassifier(hidden_size=32, pooling="max", max_epochs=15, batch_size=8).fit(texts, labels)
model.save("questions.bilstm")

again = bilstm.load("questions.bilstm")
for text in ("How many cities are there ?", "Who is the king ?"):
    chances = again.predict_proba([text])[0]
    print(f"{text:<30} {again.classes_[chances.argmax()]:<8} {chances.max():.2f}")
