"""MQTT and Fluentd into four nodes with two replicas: broker or sender and all nodes here."""

import multiprocessing

import msgpack
import orjson

from bench.finding import Finding
from bench.forward_sender import send_chunks
from bench.ingest_process import IngestProcess, pace_finding, source_settings
from bench.mosquitto_broker import MosquittoBroker
from bench.server_process import free_port
from bench.session import Session
from bench.stream_bodies import json_bodies

MQTT_RECORDS, FLUENTD_RECORDS = 200_000, 500_000
EVENTS_PER_CHUNK = 500


def run_mqtt(session: Session) -> list[Finding]:
    """QoS 1, one JSON record a message, out of the session that the broker keeps."""
    bodies = list(json_bodies(session.stations(), MQTT_RECORDS))
    with session.second_cluster(nodes=4, replicas=2) as cluster, MosquittoBroker() as broker:
        cluster.spoil()
        settings = source_settings(
            "mqtt", "json", f'broker = "{broker.address}"\ntopics = ["meters/#"]'
        )
        broker.begin_session("zring-mqtt", "meters/#")
        session.say("filling the session")
        broker.fill("meters/a", bodies)
        with IngestProcess(settings, url=cluster.url()) as ingest:
            pace = ingest.wait_stored(MQTT_RECORDS)
    return [pace_finding("streams-mqtt", "QoS 1, one JSON record a message", pace, 10_000)]


def run_fluentd(session: Session) -> list[Finding]:
    """PackedForward, every chunk acknowledged."""
    frames = _frames(session)
    port = free_port()
    with session.second_cluster(nodes=4, replicas=2) as cluster:
        cluster.spoil()
        settings = source_settings("fluentd", "fluentd", f'listen = "127.0.0.1:{port}"')
        sender = multiprocessing.get_context("spawn").Process(
            target=send_chunks, args=(port, frames), daemon=True
        )
        with IngestProcess(settings, url=cluster.url()) as ingest:
            sender.start()
            pace = ingest.wait_stored(FLUENTD_RECORDS)
            sender.join()
    work = f"PackedForward with acknowledgements, {EVENTS_PER_CHUNK} events a chunk"
    return [pace_finding("streams-fluentd", work, pace, 50_000)]


def _frames(session: Session) -> list[bytes]:
    events = [
        msgpack.packb([1_700_000_000, orjson.loads(body)])
        for body in json_bodies(session.stations(), FLUENTD_RECORDS)
    ]
    return [
        msgpack.packb(
            [
                "meters",
                b"".join(events[start : start + EVENTS_PER_CHUNK]),
                {"chunk": str(start), "size": EVENTS_PER_CHUNK},
            ]
        )
        for start in range(0, len(events), EVENTS_PER_CHUNK)
    ]
