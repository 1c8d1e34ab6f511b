"""The programs that a cluster consists of, compiled from Go modules whose versions are pinned here."""
