"""Stage prepare: a source becomes a corpus. One file per kind of source."""
