"""Stage benchmark: speed, memory and energy of all variants, measured in one interleaved run."""
