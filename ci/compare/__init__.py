"""Where two files that should be equal begin to differ, named by what it is: an entry, a header field, a section.

`python -m ci.steps.compare` compares two folders. `ci.report.diff` shows what matters to a person in two different
builds; this shows what chance left in one build that was made twice.
"""
