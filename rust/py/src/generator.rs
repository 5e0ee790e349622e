//! The load generator as a process of its own.

use std::io;

use pyo3::prelude::*;
use ztransport_engine::IdleStrategy;

/// Measures the windows that standard input asks for, until it ends.
///
/// The interpreter lock is free all the while: nothing in a window waits for Python.
#[pyfunction]
pub(crate) fn run_generator(py: Python<'_>) -> PyResult<()> {
    py.detach(|| {
        let (input, output) = (io::stdin().lock(), io::stdout().lock());
        ztransport_load::generator::run(input, output)
    })?;
    Ok(())
}

/// Returns what the generator does while nothing is ready: "sleep", "adaptive" or "spin".
#[pyfunction]
pub(crate) fn generator_idle() -> &'static str {
    match ztransport_load::generator::engine_settings().idle {
        IdleStrategy::Sleep => "sleep",
        IdleStrategy::Adaptive => "adaptive",
        IdleStrategy::Spin { .. } => "spin",
    }
}
