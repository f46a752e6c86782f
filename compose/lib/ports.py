"""Print free ports of 127.0.0.1: ports.py HOW_MANY [TAKEN...].

They lie below the range from which the system takes ports of outgoing connections, so that none slips in between
this answer and the server's bind. TAKEN are ports of other stacks, whose servers may just be down for a while.
"""
import random
import socket
import sys

how_many, taken = int(sys.argv[1]), set(map(int, sys.argv[2:]))
held = []
for port in random.sample(range(20000, 30000), 5000):
    if len(held) == how_many:
        break
    if port in taken:
        continue
    listener = socket.socket()
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        continue
    held.append(listener)  # kept open, so that no port is given twice
if len(held) < how_many:
    sys.exit("no free ports between 20000 and 30000")
print(*(listener.getsockname()[1] for listener in held))
