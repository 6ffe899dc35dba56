"""Stage evaluate: the WER and CER of one variant."""
