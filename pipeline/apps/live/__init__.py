"""Transcribes speech while it is being spoken: `bigfoot transcribe --live`, and what `bigfoot serve` gives its streams."""
