"""Words and tables for people: progress, errors, lists. No IO but writing to the streams that are passed in."""
