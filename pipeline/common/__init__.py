"""What every room may use: errors, atomic file writes, the stage graph, the host, energy, git, and command lines."""
