"""Fluentd events: a body is one or more msgpack arrays `[time, record]` or `[tag, time, record]`.

That is what the forward protocol carries: the entries of a forward or packed-forward message as
they are, and a single message. A record without a `time` of its own has the event's, whole
seconds or EventTime (nanoseconds); the tag is the value `tag` of records without one.
"""

import struct
from typing import Any

import msgpack

from ingest.formats import Context
from ingest.messages.json_bodies import too_many
from ingest.messages.msgpack_bodies import ERRORS
from ingest.messages.payloads import MESSAGE_RECORDS_MAX, Payloads, Unpacked

EVENT_TIME = 0
"""Type of the msgpack extension: two big-endian uint32, seconds and nanoseconds."""
_EVENT_TIME = struct.Struct(">II").unpack
TIME, TAG = "time", "tag"


def unpack_fluentd(payloads: Payloads, context: Context) -> Unpacked:
    """Each body holds the events of one message."""
    unpacked = Unpacked()
    own_time = context.mapping.names.get(TIME, TIME) != TIME or TIME in context.mapping.constants
    for message, body in zip(payloads.at, payloads.bodies, strict=True):
        unpacker = msgpack.Unpacker(
            max_buffer_size=max(len(body), 1), ext_hook=_event_time, use_list=True
        )
        unpacker.feed(body)
        try:
            events = list(unpacker)
            whole = unpacker.tell() == len(body)
        except ERRORS as error:
            unpacked.refuse(message, "bad-msgpack", f"the body is no list of events: {error}")
            continue
        if not events or not whole:
            unpacked.refuse(message, "bad-msgpack", "the body is empty or ends within an event")
        elif len(events) > MESSAGE_RECORDS_MAX:
            unpacked.refuse(message, "too-many-records", too_many(len(events)))
        else:
            _add_events(message, events, unpacked, own_time=own_time)
    return unpacked


def _add_events(message: int, events: list[Any], unpacked: Unpacked, *, own_time: bool) -> None:
    for index, event in enumerate(events):
        tag: Any = None
        if type(event) is list and len(event) in (3, 4) and type(event[0]) is str:
            tag, event = event[0], event[1:3]
        if type(event) is not list or len(event) < 2 or type(event[1]) is not dict:
            detail = "the event is no [time, record] and no [tag, time, record]"
            unpacked.refuse(message, "bad-event", detail, index)
            continue
        time, record = event[0], event[1]
        if not own_time and TIME not in record:
            record[TIME] = _time_us(time)
        if tag is not None:
            record.setdefault(TAG, tag)
        unpacked.objects.append(record)
        unpacked.object_messages.append(message)


def _time_us(time: Any) -> int | None:
    """Microseconds since the epoch, as whole numbers are read where no time format is set."""
    if type(time) is int:
        return time * 1_000_000
    return round(time * 1_000_000) if type(time) is float and abs(time) < 1e12 else None


def _event_time(code: int, data: bytes) -> Any:
    if code == EVENT_TIME and len(data) == 8:
        seconds, nanoseconds = _EVENT_TIME(data)
        return float(seconds + nanoseconds / 1e9)  # a double holds microseconds until 2255
    return msgpack.ExtType(code, data)
