"""Stage 2: which extensions go in, and which digests they have."""
