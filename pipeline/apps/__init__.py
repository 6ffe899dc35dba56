"""Uses of a variant: transcribe recordings, try it on a page, export it, push it to a hub."""
