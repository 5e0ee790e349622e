//! Failures of the engine as Python exceptions, and exceptions of handlers as faults.
//!
//! The classes are written in Python, in `ztransport._errors`; this file alone chooses among them.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;
use ztransport_engine::{Failure, FailureKind, Refusal};
use ztransport_proto::fault::{FaultCode, Retry};
use ztransport_tls::ErrorKind;

static CLASSES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let module =
        CLASSES.get_or_try_init(py, || py.import("ztransport._errors").map(Bound::unbind))?;
    module.bind(py).getattr(name)
}

/// An exception of the named class; `None` takes the class's own retry class.
pub(crate) fn error(py: Python<'_>, name: &str, text: &str, retry: Option<Retry>) -> PyErr {
    let made = class(py, name).and_then(|class| class.call1((text, retry.map(retry_name))));
    made.map_or_else(|error| error, PyErr::from_value)
}

pub(crate) fn configuration(py: Python<'_>, text: &str) -> PyErr {
    error(py, "ConfigurationError", text, None)
}

pub(crate) fn closed(py: Python<'_>, what: &str) -> PyErr {
    error(py, "Closed", &format!("this side closed the {what}"), None)
}

pub(crate) fn would_block(py: Python<'_>) -> PyErr {
    error(
        py,
        "WouldBlock",
        "there is no room now: wait for room and send again",
        None,
    )
}

/// The exception for what ended a connection, a listener or a call.
pub(crate) fn failure(py: Python<'_>, failure: &Failure, retry: Option<Retry>) -> PyErr {
    let class = failure_class(failure.kind());
    let made = error(py, class, &failure.to_string(), retry);
    match explain(&made, py, failure) {
        Ok(()) => made,
        Err(error) => error,
    }
}

/// Sets what the sentence is made of.
fn explain(made: &PyErr, py: Python<'_>, failure: &Failure) -> PyResult<()> {
    let value = made.value(py);
    value.setattr(intern!(py, "peer"), failure.peer())?;
    value.setattr(intern!(py, "cause"), failure.cause())?;
    value.setattr(intern!(py, "remedy"), failure.remedy())
}

fn failure_class(kind: &FailureKind) -> &'static str {
    match kind {
        FailureKind::AddressInUse | FailureKind::Configuration => "ConfigurationError",
        FailureKind::Closed => "Closed",
        FailureKind::ConnectFailed => "ConnectFailed",
        FailureKind::ConnectionLost | FailureKind::PeerSilent | FailureKind::SlowConsumer => {
            "ConnectionLost"
        }
        FailureKind::DeadlineExceeded => "DeadlineExceeded",
        FailureKind::HandshakeTimeout => "HandshakeTimeout",
        FailureKind::Limit(_) => "LimitExceeded",
        FailureKind::Protocol(_) => "ProtocolError",
        FailureKind::ShuttingDown => "ShuttingDown",
        FailureKind::Tls(kind) => tls_class(kind),
        FailureKind::TlsPeer => "TLSPeer",
        FailureKind::Unsupported => "NotSupported",
        FailureKind::WrongCluster => "WrongCluster",
        _ => "Error",
    }
}

fn tls_class(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::UntrustedIssuer => "UntrustedIssuer",
        ErrorKind::CertificateExpired => "CertificateExpired",
        ErrorKind::CertificateNotYetValid => "CertificateNotYetValid",
        ErrorKind::NameMismatch => "NameMismatch",
        ErrorKind::CertificateRevoked => "CertificateRevoked",
        ErrorKind::WrongKeyUsage => "WrongKeyUsage",
        ErrorKind::CertificateVersion => "CertificateVersion",
        ErrorKind::IdentityNotAllowed => "IdentityNotAllowed",
        ErrorKind::ClientCertificateRequired => "ClientCertificateRequired",
        ErrorKind::PlaintextPeer => "PlaintextPeer",
        ErrorKind::TLSPeer => "TLSPeer",
        ErrorKind::ProtocolVersionRefused => "ProtocolVersionRefused",
        ErrorKind::ALPNRefused => "ALPNRefused",
        ErrorKind::HandshakeTimeout => "HandshakeTimeout",
        ErrorKind::Truncated => "ConnectionLost",
        ErrorKind::Configuration { .. } => "ConfigurationError",
        _ => "TLSError",
    }
}

pub(crate) fn tls(py: Python<'_>, failure: &ztransport_tls::Error) -> PyErr {
    error(py, tls_class(failure.kind()), &failure.to_string(), None)
}

/// The exception for a command that was not taken.
pub(crate) fn refusal(py: Python<'_>, refusal: &Refusal) -> PyErr {
    let not_started = Some(Retry::NotStarted);
    match refusal {
        Refusal::WouldBlock => would_block(py),
        Refusal::NoPeer => error(py, "ConnectionLost", "the peer is gone", not_started),
        Refusal::Unknown => error(py, "ConnectionLost", "the other side has gone", not_started),
        Refusal::Oversize { limit } => {
            let text = format!("the message is larger than the {limit} bytes the peer takes");
            error(py, "LimitExceeded", &text, None)
        }
        // What waits for the peer goes away again; the other limits refuse the same call again.
        Refusal::Limit(name @ ("pending_calls_max" | "pending_bytes_max")) => {
            let text = format!("too much waits for the peer: the limit {name} is reached");
            error(py, "Overloaded", &text, None)
        }
        Refusal::Limit(name) => error(
            py,
            "LimitExceeded",
            &format!("the limit {name} is reached"),
            None,
        ),
        Refusal::Draining => error(py, "ShuttingDown", "the peer takes nothing new", None),
        Refusal::Unsupported(text) => error(py, "NotSupported", text, None),
        other => error(py, "Error", &format!("refused: {other:?}"), not_started),
    }
}

/// The exception for a fault the peer answered with.
pub(crate) fn fault(py: Python<'_>, code: FaultCode, retry: Retry, text: &str) -> PyErr {
    let name = match code {
        FaultCode::Rejected(wire) => return rejected(py, wire, retry, text),
        FaultCode::NoHandler => "NoHandler",
        FaultCode::NotAuthorized => "NotAuthorized",
        FaultCode::DeadlineExceeded => "DeadlineExceeded",
        FaultCode::Overloaded => "Overloaded",
        FaultCode::ShuttingDown => "ShuttingDown",
        FaultCode::Protocol | FaultCode::VersionRefused => "ProtocolError",
        FaultCode::WrongCluster => "WrongCluster",
        FaultCode::Limit => "LimitExceeded",
        FaultCode::Unavailable => "ConnectionLost",
        FaultCode::HandlerFailure | FaultCode::Cancelled | FaultCode::Other(_) => "HandlerFailure",
    };
    error(py, name, text, Some(retry))
}

fn rejected(py: Python<'_>, wire: u16, retry: Retry, text: &str) -> PyErr {
    let code = wire - FaultCode::REJECTED_MIN;
    let made =
        class(py, "Rejected").and_then(|class| class.call1((code, text, Some(retry_name(retry)))));
    made.map_or_else(|error| error, PyErr::from_value)
}

pub(crate) fn expired(py: Python<'_>) -> PyErr {
    error(
        py,
        "DeadlineExceeded",
        "no answer before the deadline",
        None,
    )
}

fn retry_name(retry: Retry) -> &'static str {
    match retry {
        Retry::NotStarted => "not_started",
        Retry::Unknown => "unknown",
        Retry::Failed => "failed",
    }
}

fn retry_from_name(name: &str) -> Retry {
    match name {
        "not_started" => Retry::NotStarted,
        "unknown" => Retry::Unknown,
        _ => Retry::Failed,
    }
}

/// What a caller is told about an exception.
pub(crate) struct Fault {
    pub(crate) code: FaultCode,
    pub(crate) retry: Retry,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(code: FaultCode, retry: Retry, text: &str) -> Fault {
        Fault {
            code,
            retry,
            text: text.to_owned(),
        }
    }

    pub(crate) fn handler_failure() -> Fault {
        Fault::new(
            FaultCode::HandlerFailure,
            Retry::Failed,
            "the handler failed",
        )
    }
}

/// An exception of ours keeps its code and retry class; of any other only `expose` tells more.
pub(crate) fn to_fault(error: &Bound<'_, PyAny>, expose: bool) -> Fault {
    if let Ok(Some(fault)) = relayed(error) {
        return fault;
    }
    let mut fault = Fault::handler_failure();
    if expose && let Ok(words) = error.repr() {
        fault.text = words.to_string();
    }
    fault
}

/// Whether an exception is one of this package's.
pub(crate) fn is_ours(error: &Bound<'_, PyAny>) -> PyResult<bool> {
    error.is_instance(&class(error.py(), "Error")?)
}

fn relayed(error: &Bound<'_, PyAny>) -> PyResult<Option<Fault>> {
    let py = error.py();
    if !is_ours(error)? {
        return Ok(None);
    }
    let code = FaultCode::from_wire(error.getattr(intern!(py, "fault_code"))?.extract()?);
    let retry: String = error.getattr(intern!(py, "retry"))?.extract()?;
    let text = error.getattr(intern!(py, "text"))?.extract()?;
    Ok(Some(Fault {
        code,
        retry: retry_from_name(&retry),
        text,
    }))
}

/// What `reply.fault` was given: an exception, or a code and a text.
pub(crate) fn chosen_fault(reason: &Bound<'_, PyAny>, text: &str) -> PyResult<Fault> {
    if let Ok(code) = reason.extract::<u16>() {
        let made = class(reason.py(), "Rejected")?.call1((code, text))?;
        return Ok(to_fault(&made, false));
    }
    match relayed(reason)? {
        Some(fault) => Ok(fault),
        None => Err(PyTypeError::new_err(
            "expected a ztransport.Error or a code",
        )),
    }
}
