"""Where a checkout of CozyStack has the sources of its boot assets. Apart from their reader, which needs much more."""

#: Folders that the assets' sources have been in, newest first.
LAYOUTS = ("packages/core/talos", "packages/core/installer")

#: What has to be read of a checkout, as patterns of paths.
PATTERNS = tuple(f"{layout}/images/{rest}" for layout in LAYOUTS for rest in ("talos/profiles/*.yaml", "matchbox/**"))
