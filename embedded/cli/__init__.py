"""The command line of the embedded engine: takes the arguments of `dagger` and asks a session in GraphQL.

What differs from Dagger v0.21.8 on purpose:

- `call` alone prints its help, and an object at the end of a chain a line that says what can be had from it; Dagger
  prints `Query` and an opaque id.
- A null result prints nothing; Dagger prints `<nil>`. Large whole numbers are printed in full.
- `check` fails for a pattern that matches no check, and says which there are.
- A whole chain is read before any of its values is looked up, so that a mistake at its end costs nothing.
- Options and commands that can't be had here are errors: `not supported by the embedded engine: ...`.
"""
