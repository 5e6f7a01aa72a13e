"""`python -m service.cli`: the command `actionlens`."""

from service.cli.main import main

main()
