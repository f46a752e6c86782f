"""Form a replica set: mongo.py form HOST:PORT... ; mongo.py ready HOST:PORT... ; exit 0 when it has a primary.
mongo.py drop HOST:PORT DATABASE... drops databases, as somebody would by mistake.

`form` may be repeated: what is already done is left alone. `ready` asks only the members named, which may be a part of
the set. Only the standard library is used: the few commands needed are sent as OP_MSG with a small BSON.
"""
import socket
import struct
import sys
import time

NAME = "rs0"
ALREADY_INITIALIZED = 23


class Refused(Exception):
    def __init__(self, answer):
        super().__init__(answer.get("errmsg", "refused"))
        self.code = answer.get("code")


def encode(document):
    body = b""
    for key, value in document.items():
        name = key.encode() + b"\x00"
        if isinstance(value, bool):
            body += b"\x08" + name + bytes([value])
        elif isinstance(value, int):
            body += b"\x10" + name + struct.pack("<i", value)
        elif isinstance(value, str):
            body += b"\x02" + name + struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\x00"
        elif isinstance(value, list):
            body += b"\x04" + name + encode({str(index): item for index, item in enumerate(value)})
        else:
            body += b"\x03" + name + encode(value)
    return struct.pack("<i", len(body) + 5) + body + b"\x00"


FIXED = {1: "<d", 8: "<?", 9: "<q", 16: "<i", 17: "<Q", 18: "<q"}


def decode(data, at=0):
    """The document that begins at `at`; kinds of value that no answer here needs come out as bytes."""
    document, end = {}, at + struct.unpack_from("<i", data, at)[0] - 1
    at += 4
    while at < end:
        kind, stop = data[at], data.index(b"\x00", at + 1)
        key, at = data[at + 1 : stop].decode(), stop + 1
        if kind in FIXED:
            document[key] = struct.unpack_from(FIXED[kind], data, at)[0]
            at += struct.calcsize(FIXED[kind])
            continue
        if kind == 10:
            document[key] = None
            continue
        size = 12 if kind == 7 else struct.unpack_from("<i", data, at)[0]
        if kind == 2:
            document[key], at = data[at + 4 : at + 3 + size].decode(), at + 4 + size
        elif kind in (3, 4):
            document[key], at = decode(data, at), at + size
        elif kind == 5:
            document[key], at = data[at + 5 : at + 5 + size], at + 5 + size
        elif kind == 7:
            document[key], at = data[at : at + size], at + size
        else:
            raise ValueError(f"BSON kind {kind} is not read here")
    return document


def command(address, document, database="admin"):
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=2) as connection:
        connection.settimeout(15)
        body = struct.pack("<I", 0) + b"\x00" + encode({**document, "$db": database})
        connection.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, 2013) + body)
        stream = connection.makefile("rb")
        head = stream.read(16)
        answer = decode(stream.read(struct.unpack_from("<i", head)[0] - 16), 5)
    if answer.get("ok") != 1:
        raise Refused(answer)
    return answer


def config(members, version):
    return {
        "_id": NAME,
        "version": version,
        "members": [{"_id": index, "host": host} for index, host in enumerate(members)],
        "settings": {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500},
    }


def until(wanted, seconds=30):
    """Repeat until it answers something true: members come, vote and copy at their own pace."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            result = wanted()
            if result:
                return result
        except (OSError, Refused, struct.error):
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise TimeoutError("the replica set does not come together")
        time.sleep(0.05)


def form(members):
    """One member elects itself at once; the others are added one by one, as the server wants it."""
    first = members[0]
    try:
        until(lambda: command(first, {"ping": 1}))
        command(first, {"replSetInitiate": config(members[:1], 1)})
    except Refused as refused:
        if refused.code != ALREADY_INITIALIZED:
            raise
        return
    until(lambda: command(first, {"hello": 1}).get("isWritablePrimary"))
    for count in range(2, len(members) + 1):

        def add(count=count):
            version = command(first, {"replSetGetConfig": 1})["config"]["version"]
            return command(first, {"replSetReconfig": config(members[:count], version + 1)})

        until(add)


def ready(members):
    """A primary among them, and every one of them in the set."""
    states = [command(member, {"hello": 1}) for member in members]
    waiting = [m for m, s in zip(members, states) if not (s.get("isWritablePrimary") or s.get("secondary"))]
    if waiting:
        raise TimeoutError(f"{', '.join(waiting)} has not joined yet")
    if not any(state.get("isWritablePrimary") for state in states):
        raise TimeoutError("no primary yet")


def drop(words):
    for database in words[1:]:
        command(words[0], {"dropDatabase": 1}, database)


try:
    {"form": form, "ready": ready, "drop": drop}[sys.argv[1]](sys.argv[2:])
except (OSError, Refused, ValueError, struct.error) as error:
    sys.exit(f"not ready: {error}")
