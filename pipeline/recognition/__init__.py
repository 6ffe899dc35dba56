"""Runs variants, with light imports: no transformers, pydantic or MLflow, and PyTorch only for PyTorch variants."""
