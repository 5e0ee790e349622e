"""What can go wrong: one class for each thing a caller would handle differently.

Every class says whose fault it is and whether calling again is safe. Where a built-in exception
means the same, the class is below it too, so that ``except TimeoutError`` works.
"""

from typing import ClassVar, Final, Literal

RetryClass = Literal["not_started", "unknown", "failed"]

REJECTED_WIRE_MIN: Final = 0x1000
"""Where the codes of applications begin among the codes on the wire."""

REJECTED_CODE_MAX: Final = 0xFFFF - REJECTED_WIRE_MIN
"""The largest code of a rejection."""


class Error(Exception):
    """The root of everything this package raises on purpose.

    ``retry`` says what is known about the work: ``"not_started"`` (calling again is safe),
    ``"unknown"`` or ``"failed"`` (it was started and has failed).
    """

    fault_code: int = 1
    """The number a peer is told when a handler raises this."""

    retry_default: ClassVar[RetryClass] = "failed"

    def __init__(self, text: str = "", retry: RetryClass | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.peer: str | None = None
        """With whom it happened: an address, and the node id where one was told."""
        self.cause = text
        """What happened, in one line."""
        self.remedy = ""
        """What can be done about it; empty where there is nothing to be said."""
        self.retry: RetryClass = self.retry_default if retry is None else retry

    @property
    def retry_safe(self) -> bool:
        """Whether the work was never started, so that calling again cannot do it twice."""
        return self.retry == "not_started"


class HandlerFailure(Error):
    """The peer's handler raised something that is not an `Error`, or returned no bytes.

    The peer's fault. The work was started: call again only if doing it twice is harmless.
    """


class NoHandler(Error, LookupError):
    """Nobody at the peer handles this subject. The caller's or the peer's fault.

    Nothing was started: calling again is safe and useful once a handler is there.
    """

    fault_code = 2
    retry_default: ClassVar[RetryClass] = "not_started"


class NotAuthorized(Error, PermissionError):
    """The peer may not do this. The caller's fault. Nothing was started."""

    fault_code = 3
    retry_default: ClassVar[RetryClass] = "not_started"


class DeadlineExceeded(Error, TimeoutError):
    """The deadline passed before the answer came. Nobody knows whether the work was done."""

    fault_code = 4
    retry_default: ClassVar[RetryClass] = "unknown"


class Overloaded(Error):
    """The peer has no capacity now. Nothing was started: calling again later is safe."""

    fault_code = 5
    retry_default: ClassVar[RetryClass] = "not_started"


class ShuttingDown(Error):
    """The peer, or this node, takes nothing new. Nothing was started: ask another peer."""

    fault_code = 6
    retry_default: ClassVar[RetryClass] = "not_started"


class ProtocolError(Error):
    """One side broke the protocol, and the connection was closed. Not the caller's fault."""

    fault_code = 7
    retry_default: ClassVar[RetryClass] = "unknown"


class WrongCluster(Error, ConnectionError):
    """The peer belongs to another cluster. A matter of configuration; nothing was started."""

    fault_code = 9
    retry_default: ClassVar[RetryClass] = "not_started"


class LimitExceeded(Error):
    """A named limit was reached, for example by a message larger than the peer takes.

    The caller's fault. Nothing was started; the same call fails again.
    """

    fault_code = 10
    retry_default: ClassVar[RetryClass] = "not_started"


class Rejected(Error):
    """A handler said no, with a code and a text of its own.

    A handler raises it (under its other name, `Reject`) and the caller gets an equal one, so a
    rejection passes through any number of nodes unchanged. The code is from 0 to 61,439. The work
    was refused: calling again gives the same answer unless the cause is gone.
    """

    def __init__(self, code: int, text: str = "", retry: RetryClass | None = None) -> None:
        if not 0 <= code <= REJECTED_CODE_MAX:
            raise ConfigurationError(f"a rejection's code is from 0 to {REJECTED_CODE_MAX}")
        super().__init__(text, retry)
        self.code = code
        self.fault_code = REJECTED_WIRE_MIN + code

    def __str__(self) -> str:
        return f"rejected with code {self.code}: {self.text}"

    def __reduce__(self) -> tuple[type["Rejected"], tuple[int, str, RetryClass]]:
        return type(self), (self.code, self.text, self.retry)


Reject = Rejected


class ConnectionLost(Error, ConnectionError):
    """The connection ended before the answer came. Nobody's fault, or the network's.

    ``retry_safe`` says whether the request had left this process: if not, calling again is safe.
    """

    fault_code = 11
    retry_default: ClassVar[RetryClass] = "unknown"


class Closed(ConnectionLost):
    """This side has closed the peer, the stream or the node. The caller's fault."""

    retry_default: ClassVar[RetryClass] = "not_started"


class ConnectFailed(Error, ConnectionError):
    """No connection could be made: refused, unreachable or unknown. Nothing was started."""

    fault_code = 11
    retry_default: ClassVar[RetryClass] = "not_started"


class WouldBlock(Error, BlockingIOError):
    """There is no room now. Nothing was sent: wait for room and call again."""

    fault_code = 5
    retry_default: ClassVar[RetryClass] = "not_started"


class NotSupported(Error, NotImplementedError):
    """The peer or this host loop cannot do this. Nothing was started."""

    retry_default: ClassVar[RetryClass] = "not_started"


class ConfigurationError(Error, ValueError):
    """A value given by the caller cannot work. The text says how to mend it."""

    retry_default: ClassVar[RetryClass] = "not_started"


class AlreadyAnswered(Error, RuntimeError):
    """The message was answered, deferred or forwarded before. The handler's fault."""


class WrongThread(Error, RuntimeError):
    """A node was used from another thread than the one its loop runs in. The caller's fault."""

    retry_default: ClassVar[RetryClass] = "not_started"


class UsedAfterFork(Error, RuntimeError):
    """A node was used in a child process after ``os.fork``. The caller's fault.

    Both processes would use the same sequence numbers and nonces: open a node in the child.
    """

    retry_default: ClassVar[RetryClass] = "not_started"


class TLSError(Error, ConnectionError):
    """TLS failed in a way that none of the classes below describes. Nothing was started."""

    retry_default: ClassVar[RetryClass] = "not_started"


class UntrustedIssuer(TLSError):
    """A certificate is not signed by a trusted authority."""


class CertificateExpired(TLSError):
    """A certificate is no longer valid, or a clock is wrong."""


class CertificateNotYetValid(TLSError):
    """A certificate is not valid yet, or a clock is wrong."""


class NameMismatch(TLSError):
    """The listener's certificate does not hold the name that was dialled."""


class CertificateRevoked(TLSError):
    """A certificate was revoked by its issuer."""


class WrongKeyUsage(TLSError):
    """A certificate is not for this use: listening, dialling or signing handshakes."""


class CertificateVersion(TLSError):
    """A certificate is of an X.509 version before 3, which cannot say what it is for.

    The other side learns only that its certificate is unacceptable and raises `TLSError`.
    """


class IdentityNotAllowed(TLSError):
    """A certificate is sound, but none of its names is let in."""


class ClientCertificateRequired(TLSError):
    """The listener insists on a certificate and the dialer has none."""


class PlaintextPeer(TLSError):
    """The peer speaks plaintext where TLS is expected."""


class TLSPeer(TLSError):
    """The peer speaks TLS where plaintext is expected."""


class ProtocolVersionRefused(TLSError):
    """The two sides share no version of TLS, of which this package speaks 1.3 alone, or of ZT."""


class ALPNRefused(TLSError):
    """The two sides share no application protocol."""


class HandshakeTimeout(TLSError, TimeoutError):
    """The TLS handshake or the greeting did not finish in time."""
