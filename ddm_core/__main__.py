"""`python -m ddm_core` is `ddm`."""

from __future__ import annotations

from ddm_core.cli import main

if __name__ == "__main__":
    main()
