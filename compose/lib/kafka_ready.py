"""Ask brokers whether a record can be written to all of them: kafka_ready.py HOST:PORT... ; exit 0 if so.

A probe topic with a replica on each named broker is created, one record produced with acks=all, the topic deleted.
Only the standard library is used: the Kafka protocol in the oldest versions that brokers of 4.x still speak.
"""
import socket
import struct
import sys
import time

TOPIC = "stack-ready"
CREATE_TOPICS, DELETE_TOPICS, METADATA, PRODUCE = (19, 2), (20, 1), (3, 1), (0, 3)
TOPIC_ALREADY_EXISTS, UNKNOWN_TOPIC = 36, 3


class NotReady(Exception):
    pass


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        value = struct.unpack_from(">" + layout, self.data, self.at)[0]
        self.at += struct.calcsize(">" + layout)
        return value

    def text(self):
        length = self.take("h")
        if length < 0:
            return None
        return self.take(f"{length}s").decode()

    def array(self, item):
        return [item() for _ in range(self.take("i"))]


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def ask(address, api, body):
    """Send one request and return a reader of its answer."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=2) as connection:
        connection.settimeout(10)
        request = struct.pack(">hhi", *api, 1) + text("stack") + body
        connection.sendall(struct.pack(">i", len(request)) + request)
        stream = connection.makefile("rb")
        answer = Reader(stream.read(struct.unpack(">i", stream.read(4))[0]))
    answer.take("i")  # the correlation id
    return answer


def metadata(address):
    """The brokers, and for each partition of the probe topic its leader and in-sync replicas."""
    answer = ask(address, METADATA, struct.pack(">i", 1) + text(TOPIC))
    brokers = {}
    for _ in range(answer.take("i")):
        node, host, port, _rack = answer.take("i"), answer.text(), answer.take("i"), answer.text()
        brokers[node] = f"{host}:{port}"
    answer.take("i")  # the controller

    def partition():
        answer.take("h"), answer.take("i")
        leader = answer.take("i")
        answer.array(lambda: answer.take("i"))
        return leader, answer.array(lambda: answer.take("i"))

    partitions = []
    for _ in range(answer.take("i")):
        answer.take("h"), answer.text(), answer.take("b")
        partitions += answer.array(partition)
    return brokers, partitions


def create(address, replicas):
    """A topic with its one partition on exactly these brokers."""
    placement = struct.pack(f">iii{len(replicas)}i", 1, 0, len(replicas), *replicas)
    topic = text(TOPIC) + struct.pack(">ih", -1, -1) + placement + struct.pack(">i", 0)
    answer = ask(address, CREATE_TOPICS, struct.pack(">i", 1) + topic + struct.pack(">ib", 5000, 0))
    answer.take("i"), answer.take("i"), answer.text()
    error = answer.take("h")
    if error not in (0, TOPIC_ALREADY_EXISTS):
        raise NotReady(f"the topic could not be created (error {error})")


def delete(address):
    answer = ask(address, DELETE_TOPICS, struct.pack(">i", 1) + text(TOPIC) + struct.pack(">i", 5000))
    answer.take("i"), answer.take("i"), answer.text()
    error = answer.take("h")
    if error not in (0, UNKNOWN_TOPIC):
        raise NotReady(f"the topic could not be deleted (error {error})")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def batch():
    """A record batch of format 2 with one record: no key, the value "ready"."""
    fields = b"\x00" + b"\x00" + b"\x00" + b"\x01" + b"\x0a" + b"ready" + b"\x00"
    now = int(time.time() * 1000)
    head = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1)
    body = head + bytes([len(fields) * 2]) + fields
    body = struct.pack(">ibI", -1, 2, crc32c(body)) + body
    return struct.pack(">qi", 0, len(body)) + body


def produce(leader):
    records = batch()
    partition = struct.pack(">iii", 1, 0, len(records)) + records
    body = struct.pack(">hhi", -1, -1, 5000) + struct.pack(">i", 1) + text(TOPIC) + partition
    answer = ask(leader, PRODUCE, body)
    answer.take("i"), answer.text(), answer.take("i"), answer.take("i")
    error = answer.take("h")
    if error != 0:
        raise NotReady(f"the record was not acknowledged (error {error})")


def main(addresses):
    for address in addresses:
        brokers, _ = metadata(address)
        missing = set(addresses) - set(brokers.values())
        if missing:
            raise NotReady(f"{address} does not know {', '.join(sorted(missing))} yet")
    replicas = [node for node, address in brokers.items() if address in addresses]
    create(addresses[0], replicas)
    try:
        for _ in range(50):
            brokers, partitions = metadata(addresses[0])
            if partitions and partitions[0][0] in brokers and len(partitions[0][1]) == len(replicas):
                return produce(brokers[partitions[0][0]])
            time.sleep(0.05)
        raise NotReady("the probe topic has no leader with all replicas")
    finally:
        delete(addresses[0])


try:
    main(sys.argv[1:])
except (NotReady, OSError, struct.error) as error:
    sys.exit(f"not ready: {error}")
