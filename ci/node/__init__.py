"""What a node has to be told for the extensions in its image."""
