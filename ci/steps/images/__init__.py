"""Looking at container images with crane, inside a container."""
