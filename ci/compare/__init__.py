"""Where two files that should be equal begin to differ, told by what it is: an entry, a header field, a section.

`python -m ci.compare` compares two folders. `ci.inspect.diff` tells what matters to a person of two different builds;
this tells of one build, made twice, what chance left in it.
"""
