//! The bounds a node can be given, by name.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ztransport_engine::LinkLimits;
use ztransport_proto::limits::Limits;

use crate::errors;

/// For each listed field: reads it out, or sets it from a dictionary.
macro_rules! fields {
    ($read:ident, $write:ident, $limits:ty, $($name:ident),+ $(,)?) => {
        fn $read(limits: &$limits, into: &Bound<'_, PyDict>) -> PyResult<()> {
            $(into.set_item(stringify!($name), limits.$name)?;)+
            Ok(())
        }

        fn $write(limits: &mut $limits, name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
            match name {
                $(stringify!($name) => limits.$name = value.extract()?,)+
                _ => return Ok(false),
            }
            Ok(true)
        }
    };
}

fields!(
    read_protocol,
    write_protocol,
    Limits,
    message_bytes_max,
    request_window_count,
    request_window_bytes,
    subjects_max,
    subject_window_count,
    subject_window_bytes,
    streams_max,
    stream_window_count,
    stream_window_bytes,
    assembly_bytes_max,
    assembly_grace_ms,
    assembly_bytes_per_second_min,
    metadata_bytes_max,
    output_bytes_high,
    output_bytes_low,
    hello_timeout_ms,
    ping_interval_ms,
    liveness_timeout_ms,
    overhead_burst,
    overhead_per_second,
    unknown_ids_max,
    zeebe_message_bytes_max,
    zeebe_heartbeat_interval_ms,
);

fields!(
    read_links,
    write_links,
    LinkLimits,
    handshake_timeout_ms,
    connect_timeout_ms,
    write_stall_ms,
    linger_ms,
    connection_age_max_ms,
    retire_timeout_ms,
    redial_base_ms,
    redial_cap_ms,
    connections_max,
    handshakes_max,
    handshakes_per_source_max,
    pending_calls_max,
    pending_bytes_max,
);

/// Every limit and its default.
#[pyfunction]
pub(crate) fn limit_defaults(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let defaults = PyDict::new(py);
    read_protocol(&Limits::default(), &defaults)?;
    read_links(&LinkLimits::default(), &defaults)?;
    Ok(defaults)
}

/// The limits with the given ones set.
///
/// # Errors
/// `ConfigurationError` for a name that is none, or a value that does not fit its field.
pub(crate) fn from_dict(given: &Bound<'_, PyDict>) -> PyResult<(Limits, LinkLimits)> {
    let (mut protocol, mut links) = (Limits::default(), LinkLimits::default());
    for (name, value) in given {
        let name: String = name.extract()?;
        let known = write_protocol(&mut protocol, &name, &value)
            .and_then(|known| Ok(known || write_links(&mut links, &name, &value)?));
        if !matches!(known, Ok(true)) {
            let text = format!("{name} cannot be {value}: see ztransport.Limits");
            return Err(errors::configuration(given.py(), &text));
        }
    }
    Ok((protocol, links))
}
