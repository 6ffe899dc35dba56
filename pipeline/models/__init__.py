"""A Hugging Face model folder and its padding-invariant forward pass, in PyTorch."""
