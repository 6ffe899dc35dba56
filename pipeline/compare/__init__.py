"""Stage compare: scores and timings beside those of teacher.fp32, the gate, the champion, the report."""
