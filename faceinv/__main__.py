"""``python -m faceinv``."""

from faceinv.cli import main

main()
