"""What can go wrong with a model file; the command line turns these into exit code 3 and one line."""

from __future__ import annotations


class ModelError(Exception):
    """The model can't be read. ``str(error)`` says what is wrong and what would mend it, in one line.

    ``code`` is the same for programs.
    """

    code = "model_error"


class UnreadableFile(ModelError):
    """The file itself: missing, a directory, no permission, empty, too large."""

    code = "unreadable_file"


class UnknownFormat(ModelError):
    """The content is no model format that Facet reads."""

    code = "unknown_format"


class CorruptModel(ModelError):
    """The format is known but the content is broken: truncated, lying counts, indices out of range, bad XML."""

    code = "corrupt_model"


class BadCoordinates(ModelError):
    """NaN, infinite, or beyond 1e9 mm."""

    code = "bad_coordinates"


class EmptyModel(ModelError):
    """No facets."""

    code = "empty_model"


class MissingExtra(ModelError):
    """The format needs an optional package that is not installed."""

    code = "missing_extra"
