"""Images: built from a stack's `build:` sections, pushed, and known by digest."""
