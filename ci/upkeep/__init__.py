"""The CI files of all vendors: one description, a template a file, and the same calls in each.

`dagger call ci-files --vendor NAME` writes them. Below `templates/`, every template has the path of the file
that is made of it.
"""
