"""What every room may use: errors, architectures, values, references, YAML with lines, pins."""
