"""What every room may use: errors, whole files, the stage graph, the host, energy, git, and the frame of a command line."""
