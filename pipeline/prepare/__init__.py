"""Stage prepare: makes a corpus from a source. One file per kind of source."""
