"""The commands, one file each; `berth_cli.main` lists them."""
