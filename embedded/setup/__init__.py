"""Prepares the machine for the embedded engine, below the cache folder and nowhere else."""
