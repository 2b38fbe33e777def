"""The command line as docopt reads it: the help is the grammar."""

from __future__ import annotations

import re

HELP = """geventrelay: a ZeroMQ relay server.

It stands between programs that talk ZeroMQ, so that each of them needs to know one address only.

Usage:
  geventrelay [relay] --sub-port=PORT [--pub-port=PORT] [--push-port=PORT] [--subscribe=PREFIX]... [options]
  geventrelay (forwarder | queue | streamer) --frontend=ENDPOINT... --backend=ENDPOINT...
              [--subscribe=PREFIX]... [options]
  geventrelay custom --frontend-type=TYPE --frontend=ENDPOINT... --backend-type=TYPE --backend=ENDPOINT...
              [--subscribe=PREFIX]... [options]
  geventrelay run FILE [options]
  geventrelay check FILE [options]
  geventrelay init [options]
  geventrelay ctl ENDPOINT (pause | resume | terminate | statistics | reload) [options]
  geventrelay tap ENDPOINT [options]
  geventrelay record FILE --from=ENDPOINT [options]
  geventrelay replay FILE --to=ENDPOINT [options]
  geventrelay top [URL] [options]
  geventrelay (-h | --help)
  geventrelay --version

Patterns:
  relay      SUB -> PUB and/or PUSH. Publishers connect a PUB to the sub port. Each message goes whole to every SUB
             at the pub port, and its payload (what follows the topic and a space) to one PULL at the push port.
             Needs --pub-port or --push-port. The default.
  forwarder  XSUB <-> XPUB. Publishers connect to the frontend, subscribers to the backend.
  queue      ROUTER <-> DEALER. REQ clients connect to the frontend, REP workers to the backend.
  streamer   PULL -> PUSH. Tasks come in at the frontend; the workers at the backend share them.
  custom     Any two socket types that can be joined, e.g. PULL -> PUB.

Commands that are no patterns:
  run        Runs every device that a configuration file names, see docs/configuration.rst.
  check      Says what is wrong with such a file, all of it; or what run would run. Opens nothing.
  init       Prints a file to begin with, which runs as it is: geventrelay init > relay.toml
  ctl        Steers a running device through its control endpoint.
  tap        Shows what passes through a running device, message by message, at its tap endpoint or over HTTP.
  record     Keeps what a tap shows in a file. SIGINT or SIGTERM ends it.
  replay     Sends what such a file holds, with the gaps that there were. docs/tap.rst has more of these three.
  top        Shows what the devices of a server that was given --http do, until Ctrl-C; URL is http://127.0.0.1:8080
             unless given.

Where:
  --sub-port=PORT          where publishers connect
  --pub-port=PORT          where subscribers connect
  --push-port=PORT         where pullers connect
  --frontend=ENDPOINT      where traffic comes in; can be given several times
  --backend=ENDPOINT       where it goes out; can be given several times
  --frontend-type=TYPE     PULL, SUB, XSUB, XPUB, ROUTER, DEALER or PAIR
  --backend-type=TYPE      PUSH, PUB, XPUB, XSUB, ROUTER, DEALER or PAIR
  --interface=HOST         address or network interface that bare ports bind (default: *, which is every one)
  --ipv6                   speak IPv6 too

  An ENDPOINT is tcp://HOST:PORT, ipc://PATH, inproc://NAME or a bare port; port 0 takes a free one. It is bound;
  with > before it, it is connected to: --backend='>tcp://worker:5557' (mind the quotes). @ says that it is bound.
  A PORT may be any ENDPOINT too.

What:
  --subscribe=PREFIX       take only messages that begin with PREFIX; can be given several times. Makes a forwarder
                           SUB -> PUB, so that what it takes does not depend on its subscribers.
  --push-payload=PART      what of a message is its payload (default: auto)
                             space  what follows the first space of the first part, and the other parts
                             parts  all parts but the first
                             whole  the message as it came
                             auto   space for a message of one part, parts for one of several
  --push-when-full=POLICY  when there is no puller, or each has its queue full (default: drop)
                             drop   drop the payload and count why
                             block  wait; the subscribers then wait too, and the publishers' side fills up
  --slow-subscriber=POLICY when a subscriber has its queue full (default: drop)
                             drop   it loses messages, without notice or count: that is how PUB works
                             block  everybody waits for it

Limits:
  --sndhwm=N               messages queued for each peer that receives (default: 10000; 0 is no limit)
  --rcvhwm=N               messages queued from each peer that sends (default: 10000; 0 is no limit)
  --max-message-size=BYTES disconnect a peer that sends a larger part (default: no limit)
  --heartbeat=MS           probe silent tcp connections this often, by TCP keepalive (default: 10000; 0 is never)
  --drain=SECONDS          when stopping, go on moving what has come in for up to this long (default: 1)
  --linger=MS              then wait up to this long for peers to take what is queued for them (default: 1000)
  --io-threads=N           libzmq's io threads (default: 1)

Control:
  --control=ENDPOINT       where commands come in: PAUSE, RESUME, TERMINATE and STATISTICS, as zmq_proxy_steerable has
                           them, and RELOAD, which reads the configuration file again (default: nowhere)
  --control-type=TYPE      what socket that is: REP, PAIR, ROUTER, PULL or SUB (default: REP)
  --timeout=SECONDS        ctl, top: how long to wait for an answer (default: 5); replay: for somebody who takes
                           messages (default: without end)
  --json                   ctl, top: print the answer as JSON; top goes on, with a line for each second
  --once                   top: print the devices once, with the rates of one second

Watching:
  --tap=ENDPOINT           where a copy of the traffic can be watched, for as long as somebody does (default: nowhere)
  --from=ENDPOINT          record: what to record. Here and for tap: a tap's endpoint, or http://HOST:PORT of a server
  --device=NAME            tap, record: which device, where that is a server's address
  --token-file=PATH        tap, record: its first line is the token that the server asks for
  --direction=SOURCE       only messages that came in at this socket: frontend, backend or sub
  --topic=PREFIX           only messages whose first part begins with PREFIX
  --sample=N               of those, every Nth (default: 1)
  --count=N                tap, record: end after N messages
  --seconds=SECONDS        tap, record: end after that time
  --format=FORMAT          tap: text, hex or json, one line for each message (default: text)
  --append                 record: go on with a file that is there
  --to=ENDPOINT            replay: where to send; connects, or binds with @ before it
  --type=TYPE              replay: what to send with: PUB, PUSH, DEALER or PAIR (default: PUB)
  --speed=FACTOR           replay: how much faster than it was, a number or max (default: 1)
  --skip-parts=N           replay: leave out the first N parts of each message (default: 0)

Running:
  --name=NAME              what to call this device in logs (default: the pattern's name)
  --http=HOST:PORT         answer HTTP there: page, API, metrics (default: nowhere); a bare PORT is on 127.0.0.1
  --http-token-file=PATH   its first line is the token that lets a bearer change things over HTTP (default: nobody can)
  --fail-fast              end when a device fails, instead of starting it again
  --ready-file=PATH        write the bound endpoints there as JSON when all are bound; removed at exit
  --log-level=LEVEL        debug, info, warning or error (default: info)
  --log-format=FORMAT      text or json, one line for each event (default: text)
  -h --help                show this
  --version                show the version

SIGINT and SIGTERM stop it: it takes in nothing new, moves what is there, prints a line of accounting for each device
and exits with 0; a second signal ends it at once. SIGHUP reads the file of `run` again, and stops all else. SIGUSR1
logs the accounting. A device that fails is started again, unless there is --fail-fast. Exit codes: 0 stopped on
request, 1 could not run, 2 wrong usage or settings.
"""
"""What ``geventrelay --help`` prints."""

OPTIONS = tuple(dict.fromkeys(re.findall(r"^  (?:-h )?(--[a-z0-9-]+)", HELP, re.MULTILINE)))
"""Every option there is."""


def usage(word: str) -> str:
    """How the command `word` is used, without what every command takes.

    :raises KeyError: if there is no such command.
    """
    match = re.search(rf"^  geventrelay ({word}\b[^\n]*?)(?: \[options\])?$", HELP, re.MULTILINE)
    if match is None:
        raise KeyError(word)
    return match[1]
