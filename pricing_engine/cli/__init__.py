"""The command line ``facet``: results on stdout, progress and messages on stderr."""
