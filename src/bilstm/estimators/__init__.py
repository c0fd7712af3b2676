"""The estimators: fit, predict, score, save. One file a task."""
