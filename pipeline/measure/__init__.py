"""What the benchmark is made of: the host, a worker process a variant, and the profile of one forward pass."""
