"""The module's public functions by subject, as parts of the one object that `ci.main` makes of them."""
