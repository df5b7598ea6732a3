"""Takes out of files what chance left in them, and packs files so that their bytes follow from their content alone.

`python -m ci.steps.normalise` runs it. Nothing here asks for time, locale, user, umask or the number of cores: threads
only share out work that is cut the same way everywhere.
"""
