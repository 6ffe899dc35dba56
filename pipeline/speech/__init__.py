"""Audio, text, and the prepared corpus with its utterances."""
