"""Pages to look at: a build's report, a difference, a release's site. Each is one file that needs no network."""
