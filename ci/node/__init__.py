"""Machine configuration: what the extensions in an image need of a node, and whether a configuration has it."""
