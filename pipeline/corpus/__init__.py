"""The corpus: what `prepare` makes of a source. One file per source, and what all corpora share."""
