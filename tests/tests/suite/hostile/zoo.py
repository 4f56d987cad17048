# A file system of files that misbehave, spoken by hand over /dev/fuse. SIGUSR1: from now on each is a good file of the
# content that the second argument names, and who waits for an answer gets an error.
import ctypes, os, signal, struct, sys, threading, time

mountpoint, content = sys.argv[1], open(sys.argv[2], 'rb').read()
fuse = os.open('/dev/fuse', os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f'fd={fuse},rootmode=40755,user_id=0,group_id=0,allow_other'.encode()
if libc.mount(b'zoo', mountpoint.encode(), b'fuse.zoo', 0, options):
    sys.exit(os.strerror(ctypes.get_errno()))

NAMES = ['hang.pem', 'eio.pem', 'closed.pem', 'endless.pem', 'shrinking.pem', 'slow.pem', 'swapped.pem', 'good.pem']
EIO, ENOENT, ENOSYS = 5, 2, 38
good, waiting, looks, reads = False, [], 0, 0


def mend(*_):
    global good
    good = True
    while waiting:
        reply(waiting.pop(), EIO)


signal.signal(signal.SIGUSR1, mend)


def reply(unique, error=0, data=b''):
    try:
        os.write(fuse, struct.pack('<IiQ', 16 + len(data), -error, unique) + data)
    except OSError:
        pass  # who asked is gone


def attributes(node):
    global looks
    if node == 1:
        return struct.pack('<QQQQQQIIIIIIIIII', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 512, 0)
    name, size, written = NAMES[node - 2], len(content), 0
    if not good and name == 'shrinking.pem':
        size -= reads
    if not good and name == 'swapped.pem':
        looks += 1
        written = looks
    return struct.pack('<QQQQQQIIIIIIIIII', node, size, 1, 0, written, written, 0, 0, 0, 0o100644, 1, 0, 0, 0, 512, 0)


def slowly(unique):
    time.sleep(1)
    reply(unique, 0, b'-')


def read(unique, node, offset, length):
    global reads
    name = NAMES[node - 2]
    if good or name in ('good.pem', 'swapped.pem'):
        reply(unique, 0, content[offset:offset + length])
    elif name == 'hang.pem':
        waiting.append(unique)
    elif name == 'slow.pem':
        threading.Thread(target=slowly, args=(unique,), daemon=True).start()
    elif name == 'endless.pem':
        reply(unique, 0, (b'# more\n' * (length // 7 + 1))[:length])
    elif name == 'shrinking.pem':
        # Shorter with each read, whoever else reads it at the same time.
        reads = (reads + 1) % 100
        reply(unique, 0, content[offset:len(content) - reads])
    elif name == 'eio.pem' and offset == 0:
        reply(unique, 0, content[:100])
    else:
        reply(unique, EIO)


while True:
    message = os.read(fuse, 1 << 20)
    _, operation, unique, node = struct.unpack('<IIQQ', message[:24])
    if operation == 26:  # INIT
        reply(unique, 0, struct.pack('<IIIIHHIIHHI', 7, 31, 0, 0, 12, 10, 131072, 1, 1, 0, 0) + b'\0' * 24)
    elif operation == 1:  # LOOKUP
        name = message[40:].split(b'\0')[0].decode('utf-8', 'replace')
        if name in NAMES:
            found = NAMES.index(name) + 2
            reply(unique, 0, struct.pack('<QQQQII', found, 0, 0, 0, 0, 0) + attributes(found))
        else:
            reply(unique, ENOENT)
    elif operation == 3:  # GETATTR
        reply(unique, 0, struct.pack('<QII', 0, 0, 0) + attributes(node))
    elif operation in (14, 27):  # OPEN, OPENDIR; bit 1: every read comes to us
        closed = node > 1 and NAMES[node - 2] == 'closed.pem' and not good
        reply(unique, EIO) if closed else reply(unique, 0, struct.pack('<QII', 1, 1, 0))
    elif operation == 15:  # READ
        offset, length = struct.unpack('<QI', message[48:60])
        read(unique, node, offset, length)
    elif operation in (2, 42, 36):  # FORGET, INTERRUPT: no answer
        pass
    elif operation == 17:  # STATFS
        reply(unique, 0, b'\0' * 80)
    elif operation in (18, 25, 29):  # RELEASE, FLUSH
        reply(unique)
    else:
        reply(unique, ENOSYS)
