"""Series in time: reader, clock, windows, encoder, and the search for columns that leak the future."""
