"""Booting assets in QEMU: command lines, a runner with a deadline, and a reader of the serial log."""
