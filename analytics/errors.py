"""The errors of jobs over stored records.

    AnalyticsError
    ├── BadOption            an option, column or type that cannot be used; names it and the way out
    ├── Missing              something that must be installed is not here; says what to install
    ├── CoverageInsufficient an answer may lack records; names the areas and since when
    ├── RecordsRejected      some records of a write break a rule; counts them by reason
    └── JobFailed            a job failed on Spark, or again and again; says with what

None of them is worth repeating as it stands; what is, the source repeats itself (`node.errors`).
"""


class AnalyticsError(Exception):
    """Root of all expected trouble of a job."""

    retryable = False


class BadOption(AnalyticsError):
    """Raised for an option, a column or a type that cannot be used; correct what it names."""


class Missing(AnalyticsError):
    """Raised when a program or package that is needed is not here; install what it names."""


class CoverageInsufficient(AnalyticsError):
    """Raised when an answer is less complete than `require` asks; wait, or require less."""


class RecordsRejected(AnalyticsError):
    """Raised when records of a write break a rule; the others are stored, so mend and repeat."""


class JobFailed(AnalyticsError):
    """Raised when a job fails on Spark, or a streaming job again and again; read what it says."""
