"""Surgery: cuts a student from its parent."""
