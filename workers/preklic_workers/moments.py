"""Times as MongoDB keeps them: UTC, whole milliseconds."""

import datetime as dt

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLI = dt.timedelta(milliseconds=1)


def moment(millis: int) -> dt.datetime:
    """A job's time (milliseconds since the Unix epoch) as a datetime.

    >>> moment(1).isoformat()
    '1970-01-01T00:00:00.001000+00:00'
    """
    return _EPOCH + millis * _MILLI


def millis(moment: dt.datetime) -> int:
    """The milliseconds since the Unix epoch, cut."""
    return (moment - _EPOCH) // _MILLI
