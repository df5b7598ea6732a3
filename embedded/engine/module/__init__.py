"""A Dagger module in Python: its source and environment, its types, and calls into it."""
