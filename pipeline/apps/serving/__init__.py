"""`bigfoot serve`: one variant behind HTTP, for files as OpenAI's clients send them and for live audio by WebSocket."""
