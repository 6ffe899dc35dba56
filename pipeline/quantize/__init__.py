"""Stage quantize: a model in a scheme becomes a variant. One file per family of schemes."""
