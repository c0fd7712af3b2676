"""Recordings: reading sound, filterbank features, utterances."""
