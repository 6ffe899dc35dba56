"""MLflow, the memory of every run: a projection of what stages wrote. No other room creates runs."""
