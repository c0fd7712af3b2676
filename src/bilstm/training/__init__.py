"""The training loop and what it needs: state, checkpoint, history, progress, workers."""
