"""Stage 1, what is given: variants, CozyStack's profiles, the extension catalog."""
