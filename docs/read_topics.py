#!/usr/bin/env python3
"""Reads the topics of a Guildhall log as a stranger does: with nothing but JSON and the rule of docs/kafka.md.

Standard input: records as kcat prints them, in any order of partitions, each partition in order of its offsets:

    kcat -C -b BROKERS -t guildhall.jobs.events -o beginning -e -J | docs/read_topics.py --log ID

ID is what the first record with the key "log" on the topic guildhall.log says. Standard output: every event that counts, one
JSON object a line, each stream in order. Standard error: how many records counted and how many did not.
"""

import argparse
import json
import re
import sys

FORMAT = "1"

# What every event of format 1 has; a record in which one lacks it is no commit.
ATTRIBUTES = {
    "specversion": "",
    "id": "^evt_[0-9a-f]{32}$",
    "source": "",
    "type": "",
    "subject": "^[a-z_]+-[0-9a-f]{32}$",
    "time": "",
    "datacontenttype": "",
    "dataschema": "",
    "commitid": "^cmt_[0-9a-f]{32}$",
    "commandid": "^cmd_[0-9a-f]{32}$",
    "commandhash": "^[0-9a-f]{32}$",
    "correlationid": "",
    "actor": "",
}


def headers_of(record):
    """kcat prints headers as a flat list; the first of a name counts."""
    flat = record.get("headers") or []
    pairs = list(zip(flat[::2], flat[1::2]))
    return dict(reversed(pairs))


def is_event(event):
    numbers = [event["streamversion"], event["schemaversion"]]
    texts = all(re.search(pattern, event[name]) for name, pattern in ATTRIBUTES.items())
    return texts and all(type(number) is int for number in numbers) and "data" in event


def commit_of(record, log):
    """The events of a record that is a commit of this log; None for anything else."""
    headers = headers_of(record)
    if headers.get("guildhall-format") != FORMAT or headers.get("guildhall-log") != log:
        return None
    try:
        events = json.loads(record["payload"])
        first = events[0]["streamversion"]
        whole = first >= 1 and all(
            is_event(event)
            and event["subject"] == record["key"]
            and event["commitid"] == events[0]["commitid"]
            and event["streamversion"] == first + place
            for place, event in enumerate(events)
        )
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return events if whole else None


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--log", required=True, help="the log's id: 32 hexadecimal digits")
    log = arguments.parse_args().log
    heads, counted, void = {}, 0, 0
    for line in sys.stdin.buffer:
        try:
            record = json.loads(line.decode("utf-8", errors="replace"))
        except ValueError:
            void += 1
            continue
        events = commit_of(record, log)
        # The rule. A commit counts as a whole, and only when it begins right behind the last one that counted: the first
        # record at (subject, streamversion) counts, and what begins where something counts already is void.
        due = heads.get(record["key"], 0) + 1 if events else None
        if events is None or events[0]["streamversion"] < due:
            void += 1
            continue
        if events[0]["streamversion"] > due:
            sys.exit(f"{record['key']} goes from {due - 1} to {events[0]['streamversion']}: the topic has lost records")
        counted += 1
        heads[record["key"]] = events[-1]["streamversion"]
        for event in events:
            print(json.dumps(event, separators=(",", ":")))
    print(f"{counted} commits counted, {void} records did not", file=sys.stderr)


if __name__ == "__main__":
    main()
