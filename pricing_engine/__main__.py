"""``python -m pricing_engine`` is the command line ``facet``."""

from pricing_engine.cli.main import main

if __name__ == "__main__":
    main()
