"""What a person does with a variant: transcribe, try it on a page, export it, push it to a hub."""
