//! What the extension was built with: a measurement is of these versions and of no others.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Names and versions, as `build.rs` read them from Cargo.lock and from the compiler.
const BUILT_WITH: [(&str, &str); 5] = [
    ("rustls", env!("BUILT_RUSTLS")),
    ("aws-lc-rs", env!("BUILT_AWS_LC_RS")),
    ("aws-lc-sys", env!("BUILT_AWS_LC_SYS")),
    ("rustc", env!("BUILT_RUSTC")),
    ("profile", env!("BUILT_PROFILE")),
];

/// Returns the versions of the TLS library, of its cryptography and of the compiler.
#[pyfunction]
pub(crate) fn built_with(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let found = PyDict::new(py);
    for (name, version) in BUILT_WITH {
        found.set_item(name, version)?;
    }
    Ok(found)
}
