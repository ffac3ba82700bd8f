#!/usr/bin/env python3
"""A link between two network namespaces that delays, loses or swallows what it carries.

Makes the namespaces `a` and `b`, each with one end of the link, says in its first line where they are, and then takes
commands as lines on stdin, each of which it answers with one line of JSON:

    set loss-ab 0.3 loss-ba 0.3 delay 150    of packets, from 0 to 1; in ms, one way
    cut                                      nothing passes, nor what is under way: no FIN, no RST, no ICMP
    mend
    stats                                    packets passed and dropped, each way, since the start

Ends with its stdin, or at SIGTERM, SIGINT or SIGHUP, and takes with it both namespaces and what still runs in them. What
an instance that was killed left behind goes when the next one starts.
"""
import collections
import ctypes
import errno
import fcntl
import json
import os
import random
import re
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import time

# linux/if_tun.h, linux/sched.h
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
CLONE_NEWNET = 0x40000000

DEVICE = 'link'
# TEST-NET-1 (RFC 5737), and its like of IPv6 (RFC 3849): no other network has them.
ADDRESSES = {'a': ('192.0.2.1', '2001:db8::1'), 'b': ('192.0.2.2', '2001:db8::2')}
NAME = re.compile(r'sluice-(\d+)-[0-9a-f]+-[ab]')
# What the two buffers hold before they lose packets themselves: far above any window that a test opens.
QUEUE_PACKETS = 4_000
# Before the other end, the clock and the commands have their turn.
BURST = 64


def ip(*arguments, lines=None):
    """Runs `ip`, with those lines as a batch if there are any."""
    batch = None if lines is None else '\n'.join(lines)
    more = [] if lines is None else ['-batch', '-']
    done = subprocess.run(['ip', *arguments, *more], input=batch, stdin=None if batch else subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f'ip {" ".join(arguments)}: {done.stderr.strip()}')
    return done.stdout


def remove(netns):
    """Ends what runs in a namespace of this program, and the namespace."""
    path = f'/run/netns/{netns}'
    while os.path.exists(path):
        # A process that starts just now is not among them: hence once more, until there are none.
        pids = subprocess.run(['ip', 'netns', 'pids', netns], capture_output=True, text=True).stdout.split()
        for pid in pids:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        if pids:
            time.sleep(0.01)
            continue
        # May fail, where another instance has just removed it.
        subprocess.run(['ip', 'netns', 'delete', netns], capture_output=True)
        return


def remove_orphans():
    for line in ip('netns', 'list').splitlines():
        match = NAME.match(line)
        if match and not os.path.exists(f'/proc/{match[1]}'):
            remove(match[0])


def open_tun(netns):
    """The file of a new TUN device, which exists in that namespace only, and as long as the file is open."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open('/proc/self/ns/net') as home, open(f'/run/netns/{netns}') as there:
        enter(libc, there)
        try:
            tun = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH22x', DEVICE.encode(), IFF_TUN | IFF_NO_PI))
        finally:
            enter(libc, home)
    return tun


def enter(libc, netns):
    if libc.setns(netns.fileno(), CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def make_end(netns, address, address6):
    ip('netns', 'add', netns)
    tun = open_tun(netns)
    # Without multicast and addresses of its own making nothing is on the link but what the test sends.
    ip('-n', netns, lines=[
        'link set lo up',
        f'link set dev {DEVICE} addrgenmode none',
        f'link set dev {DEVICE} multicast off txqueuelen {QUEUE_PACKETS}',
        f'address add {address}/30 dev {DEVICE}',
        f'address add {address6}/126 dev {DEVICE} nodad',
        f'link set dev {DEVICE} up',
    ])
    return tun


class Direction:
    """What is under way from one end to the other, in the order in which it was sent."""

    def __init__(self, source, target, seed):
        self.source = source
        self.target = target
        self.random = random.Random(seed)
        self.loss = 0.0
        self.passed = 0
        self.dropped = 0
        self.waiting = collections.deque()

    def read(self, delay, is_cut):
        for _ in range(BURST):
            try:
                packet = os.read(self.source, 65_536)
            except BlockingIOError:
                return
            if is_cut or (self.loss > 0 and self.random.random() < self.loss) or len(self.waiting) >= QUEUE_PACKETS:
                self.dropped += 1
            elif delay == 0 and not self.waiting:
                self.write(packet)
            else:
                self.waiting.append((time.monotonic() + delay, packet))

    def write(self, packet):
        try:
            os.write(self.target, packet)
            self.passed += 1
        except OSError as error:
            # What the other end does not take is lost, as on any link.
            if error.errno not in (errno.EAGAIN, errno.EINVAL, errno.EIO, errno.ENOBUFS, errno.ENOMEM):
                raise
            self.dropped += 1

    def deliver(self):
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            self.write(self.waiting.popleft()[1])

    def drop_waiting(self):
        self.dropped += len(self.waiting)
        self.waiting.clear()


class Link:
    def __init__(self, a, b, seed):
        self.ab = Direction(a, b, f'{seed} ab')
        self.ba = Direction(b, a, f'{seed} ba')
        self.delay = 0.0
        self.is_cut = False

    def obey(self, line):
        name, *values = line.split()
        if name == 'set' and len(values) % 2 == 0:
            for option, value in zip(values[::2], values[1::2]):
                self.set(option, float(value))
        elif name == 'cut' and not values:
            self.is_cut = True
            self.ab.drop_waiting()
            self.ba.drop_waiting()
        elif name == 'mend' and not values:
            self.is_cut = False
        elif name == 'stats' and not values:
            return {key: {'passed': each.passed, 'dropped': each.dropped} for key, each in (('ab', self.ab), ('ba', self.ba))}
        else:
            raise ValueError('no such command')
        return {}

    def set(self, option, value):
        if option == 'delay' and value >= 0:
            self.delay = value / 1000
        elif option in ('loss-ab', 'loss-ba') and 0 <= value <= 1:
            direction = self.ab if option == 'loss-ab' else self.ba
            direction.loss = value
        else:
            raise ValueError(f'{option} cannot be {value}')

    def until_next(self):
        """Milliseconds until a packet is due, or -1 without one."""
        due = [direction.waiting[0][0] for direction in (self.ab, self.ba) if direction.waiting]
        return max(0.0, (min(due) - time.monotonic()) * 1000) if due else -1

    def carry(self, wakeup):
        """Until the end of stdin, or a signal."""
        poller = select.poll()
        directions = {self.ab.source: self.ab, self.ba.source: self.ba}
        for fd in (0, wakeup, *directions):
            poller.register(fd, select.POLLIN)
        commands = b''
        while True:
            for fd, _ in poller.poll(self.until_next()):
                if fd in directions:
                    directions[fd].read(self.delay, self.is_cut)
                    continue
                data = os.read(fd, 65_536) if fd == 0 else b''
                if not data:
                    return
                *lines, commands = (commands + data).split(b'\n')
                for line in lines:
                    answer(self, line.decode())
            self.ab.deliver()
            self.ba.deliver()


def answer(link, line):
    try:
        say(link.obey(line))
    except ValueError as error:
        say({'error': f'{line}: {error}'})


def say(value):
    print(json.dumps(value), flush=True)


def listen_for_signals():
    """The socket that is readable after a signal. None ends the program halfway through its work."""
    readable, writable = socket.socketpair()
    writable.setblocking(False)
    signal.set_wakeup_fd(writable.fileno())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return readable, writable


def main():
    seed = sys.argv[1] if len(sys.argv) > 1 else '1'
    wakeup, _keep = listen_for_signals()
    remove_orphans()
    instance = f'sluice-{os.getpid()}-{secrets.token_hex(4)}'
    names = {end: f'{instance}-{end}' for end in ADDRESSES}
    try:
        tuns = {end: make_end(names[end], *ADDRESSES[end]) for end in ADDRESSES}
        say({end: {'netns': names[end], 'address': v4, 'address6': v6} for end, (v4, v6) in ADDRESSES.items()})
        Link(tuns['a'], tuns['b'], seed).carry(wakeup.fileno())
    except BrokenPipeError:
        # Nobody is there to answer: as if stdin had ended.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    finally:
        for netns in names.values():
            remove(netns)


main()
