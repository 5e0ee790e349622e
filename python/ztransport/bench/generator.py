"""The load generator as a process: windows asked for on standard input, results on standard output.

It is written in Rust and runs without the interpreter lock; it ends with its input. A window is one
JSON object on a line:

- ``address``, ``cluster``, ``secured`` (``plain``, ``tls`` or ``mtls``), ``require_alpn``, the PEM
  files ``chain``, ``key`` and ``trust``, ``server_name``, ``cipher_suites``, ``groups``: whom to
  dial and how. One suite and one group unless told otherwise.
- ``pattern``: ``request`` calls ``subject`` and wants its payload back; ``connect`` does so once on
  each of many new connections; ``publish`` sends to the topic ``subject`` of a broker, from
  ``publishers`` connections to ``subscribers`` ones, and counts deliveries.
- ``payload_bytes`` of random bytes; ``connections``; ``warm_up_s`` and ``seconds``.
- ``load``: ``{"mode": "closed"}`` keeps ``window`` operations in flight on each connection;
  ``{"mode": "open", "rate": …, "arrivals": "constant" or "poisson", "seed": …}`` has a time for
  each send before the window begins. ``in_flight_max`` and the credit of the receiver bound what
  is in flight; what they held keeps its time, is sent late and counts in ``in_flight_capped``.

It answers ``{"event": "begin"}`` when the window opens, ``{"event": "end"}`` when everything sent
in it has ended, and then ``{"event": "result", …}`` with ``sent``, ``completed``, ``errors`` by the
name of the exception, ``seconds`` from begin to end, ``in_flight_capped``, ``in_flight_mean``
(completions a second times their mean service time: Little's law), ``negotiated`` (of TLS), and
``histograms`` of nanoseconds, each the base64 of what `ztransport._ztransport.Histogram` decodes:
``response`` from the intended send to the end, ``service`` from the actual one, and ``send_delay``,
how late the generator itself came to a send. Or it answers ``{"event": "refused", "error": …}`` and
waits for the next window. Besides the names of exceptions, errors are ``WrongReply``, ``Unsent``
(two seconds after the end it was still held back) and ``Unanswered`` (seven seconds after the last
send; an answer is waited for five).
"""

from __future__ import annotations

import signal

from ztransport._ztransport import run_generator

__all__ = ["main"]


def main() -> None:
    """Measure until the input ends; an interrupt ends the process at once."""
    # Python's own handler would wait for the interpreter, which has nothing to do until the end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    run_generator()


if __name__ == "__main__":
    main()
