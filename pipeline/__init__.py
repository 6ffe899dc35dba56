"""Bigfoot: one large wav2vec 2.0 CTC recogniser becomes a family of small ones, and what each costs is measured."""
