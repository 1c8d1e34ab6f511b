"""What a measurement starts: one module for each side, ours included. Those with a `main` are programs of their own."""
