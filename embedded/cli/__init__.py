"""The command line of the embedded engine: takes the arguments of `dagger`, asks a session in GraphQL, prints answers."""
