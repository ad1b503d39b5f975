"""`python -m spf_cli` is the `spf` command."""

from spf_cli.main import main

main()
