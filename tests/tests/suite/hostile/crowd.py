# Ten thousand connections, as many of them at once as one may have open; some ask, some say nothing.
import socket, sys

held = []
for number in range(10_000):
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(sys.argv[1])  # waits where too many wait already
    caller.settimeout(10)
    try:
        if number % 3 == 0:
            caller.sendall(b'{"method":"io.agentd.Control.Status"}\0')
        elif number % 3 == 1:
            caller.sendall(b'{"meth')
    except OSError:
        pass  # turned away already
    held.append(caller)
    if len(held) > 500:
        held.pop(0).close()
print(10_000)
