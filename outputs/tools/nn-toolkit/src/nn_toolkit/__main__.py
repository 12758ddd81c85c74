"""``python -m nn_toolkit`` is the command ``nn-toolkit``."""

import sys

from nn_toolkit.cli import main

sys.exit(main())
