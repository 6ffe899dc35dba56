"""Audio, text, and the prepared corpus: what an utterance is."""
