"""A module for tests: one function for each kind of argument, result and failure."""
