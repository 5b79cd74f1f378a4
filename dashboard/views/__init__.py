"""One file per view; each offers show()."""
