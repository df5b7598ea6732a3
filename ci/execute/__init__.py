"""The half that needs an engine: plans as containers and directories. Only these modules, and those that make the
module's functions, import Dagger's SDK.
"""
