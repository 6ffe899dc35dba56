"""Everything that runs a variant, light: no PyTorch, transformers, pydantic or MLflow unless the variant is a PyTorch one."""
