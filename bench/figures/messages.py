"""Messages to checked records: processor time of one core, nothing stored."""

import time

from bench.finding import Finding
from bench.message_bodies import FORMS, make_records
from bench.session import Session
from ingest.messages import MessageDecoder
from zring.domain import DEMO_DOMAIN

RECORDS = 100_000
POLL_RECORDS = 10_000
ROUNDS = 5
BARS = {"json": 150_000.0, "msgpack": 500_000.0}


def run(session: Session) -> list[Finding]:
    """The best of five rounds, in processor time: other processes do not count."""
    records = make_records(RECORDS)
    findings = []
    for title, (format_name, encode) in FORMS.items():
        session.say(f"messages: {title}")
        bodies = encode(records)
        step = max(1, POLL_RECORDS * len(bodies) // RECORDS)
        decoder = MessageDecoder(format_name, domain=DEMO_DOMAIN)
        seconds = min(_decode(decoder, bodies, step) for _ in range(ROUNDS))
        rate = RECORDS / seconds
        bar = BARS[format_name] if "list" not in title else None
        findings.append(
            Finding(
                "streams-messages", f"decode {title}, one core", rate, "records/s",
                f"≥ {bar:,.0f}/s" if bar else "", rate >= bar if bar else None, better="higher",
            )
        )  # fmt: skip
    return findings


def _decode(decoder: MessageDecoder, bodies: list[bytes], step: int) -> float:
    started_s, good = time.process_time(), 0
    for at in range(0, len(bodies), step):
        good += decoder.decode(bodies[at : at + step]).good
    assert good == RECORDS, good
    return time.process_time() - started_s
