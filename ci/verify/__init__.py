"""Checks with stable ids over what `ci.inspect` finds in boot assets and in extension images."""

from ci.verify.extensions import check_extensions
from ci.verify.model import Check, Expectation, ExpectedExtension, Result, VerifyError, parse_expectation
from ci.verify.report import Report, render_result
from ci.verify.verify import REQUIREMENTS, seal, verify

__all__ = [
    "REQUIREMENTS",
    "Check",
    "Expectation",
    "ExpectedExtension",
    "Report",
    "Result",
    "VerifyError",
    "check_extensions",
    "parse_expectation",
    "render_result",
    "seal",
    "verify",
]
