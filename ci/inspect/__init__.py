"""Readers of Talos boot assets: what is really inside a kernel, an initramfs, an installer image, an ISO, a disk."""
