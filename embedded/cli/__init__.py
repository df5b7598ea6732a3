"""The command line of the embedded engine: takes the arguments of `dagger` and asks a session in GraphQL."""
