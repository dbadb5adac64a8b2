"""Errors of reading a model file. The command line prints one line and exits with code 3."""

from __future__ import annotations


class ModelError(Exception):
    """The model cannot be read. ``str(error)`` is one line: what is wrong and what to do.

    ``code`` identifies the kind of error for programs.
    """

    code = "model_error"


class UnreadableFile(ModelError):
    """The file itself is missing, a directory, not readable, empty or too large."""

    code = "unreadable_file"


class UnknownFormat(ModelError):
    """The content is not a model format that Facet reads."""

    code = "unknown_format"


class CorruptModel(ModelError):
    """The content is broken: truncated, wrong counts, indices out of range, bad XML."""

    code = "corrupt_model"


class BadCoordinates(ModelError):
    """A coordinate is NaN, infinite or beyond 1e9 mm."""

    code = "bad_coordinates"


class EmptyModel(ModelError):
    """The model has no facets."""

    code = "empty_model"


class MissingExtra(ModelError):
    """The format needs an optional package that is not installed."""

    code = "missing_extra"
