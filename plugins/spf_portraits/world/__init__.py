"""The procedural world: specifications, pictures, captions and tailored sets of embedded portraits."""
