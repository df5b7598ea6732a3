"""Stage 6, the requirements: checks with stable ids over what `ci.inspect` finds in assets and extension images."""
