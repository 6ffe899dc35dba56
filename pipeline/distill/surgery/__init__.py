"""How a student is cut from its parent: what is kept, and where it comes from."""
