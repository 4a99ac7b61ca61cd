"""A stack's data: the shape of its database."""
