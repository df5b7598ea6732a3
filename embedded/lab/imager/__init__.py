"""The lab's imager: a stand-in that follows the observed contract of the Talos imager.

It reads the same profile, calls the same tools, writes the same structures and fails with the same texts, for the kinds
that :mod:`imager.contract` lists. It runs inside its own image (Debian trixie, `packages.txt`), so it is a package of
its own: only relative imports, no third party but PyYAML.
"""
