"""What the estimators train: a reader of words, a BiLSTM, pooling, heads."""
