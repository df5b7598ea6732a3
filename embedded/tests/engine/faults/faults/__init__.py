"""A module for tests: functions that end badly, and one that handles secrets."""
