"""Files and arrays to encoded batches. Nothing here knows a model."""
