"""The errors of models.

    AnalyticsError
    └── ModelError
        ├── ModelUnreadable      the bytes are no saved model, or over a limit
        ├── ModelUnsuited        a saved model, but not for this: task, version, framework, shape
        └── DataUnsuited         the records do not hold what the model needs

A framework that is not installed is `analytics.errors.Missing`.
"""

from analytics.errors import AnalyticsError


class ModelError(AnalyticsError):
    """Root of the expected trouble with models; the message says what to do about it."""


class ModelUnreadable(ModelError):
    """Raised for bytes that are no saved model; nothing of them was run. Get the file again."""


class ModelUnsuited(ModelError):
    """Raised for a model of another task, version, framework or shape; train one, or name it."""


class DataUnsuited(ModelError):
    """Raised when records lack the values, times or places that a model needs; ask for others."""
