"""The Dagger module of cozystack-talos.

Nothing is imported here: the pure modules are also run without the SDK (`python -m ci.steps.inspect`).
"""
