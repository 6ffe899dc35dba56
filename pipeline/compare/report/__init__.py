"""The comparison for people: Markdown, terminal, page, plots and model cards, all from the same rows."""
