"""All that lets the product run without Docker or a registry: Dagger's API answered by BuildKit, and a lab upstream."""
