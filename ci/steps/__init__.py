"""The programs that run inside containers, each as `python -m ci.steps.NAME`."""
