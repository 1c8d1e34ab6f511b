"""One file for each engine, all behind one Protocol."""
