//! Histograms of nanoseconds for Python.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ztransport_load::histogram;

/// Counts of values in nanoseconds.
#[pyclass(frozen, eq, module = "ztransport._ztransport")]
#[derive(PartialEq)]
pub(crate) struct Histogram {
    inner: histogram::Histogram,
}

#[pymethods]
impl Histogram {
    /// Counts `values`.
    #[new]
    fn new(values: Vec<u64>) -> PyResult<Histogram> {
        let mut inner = histogram::empty();
        for value in values {
            if value > histogram::VALUE_NANOS_MAX || inner.record(value).is_err() {
                let text = format!("{value} ns is more than an hour, the most that is counted");
                return Err(PyValueError::new_err(text));
            }
        }
        Ok(Histogram { inner })
    }

    #[staticmethod]
    fn decode(data: &[u8]) -> PyResult<Histogram> {
        let decoded = histogram::decode(data).map_err(PyValueError::new_err)?;
        Ok(Histogram { inner: decoded })
    }

    fn encode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = histogram::encode(&self.inner).map_err(PyValueError::new_err)?;
        Ok(PyBytes::new(py, &bytes))
    }

    fn merge(&self, other: &Histogram) -> PyResult<Histogram> {
        let merged = histogram::merge(&self.inner, &other.inner);
        let inner = merged.map_err(PyValueError::new_err)?;
        Ok(Histogram { inner })
    }

    #[getter]
    fn count(&self) -> u64 {
        self.inner.len()
    }

    #[getter]
    fn mean(&self) -> f64 {
        self.inner.mean()
    }

    #[getter]
    fn max(&self) -> u64 {
        self.inner.max()
    }

    fn value_at(&self, quantile: f64) -> PyResult<u64> {
        if !(0.0..=1.0).contains(&quantile) {
            let text = format!("a quantile is 0 to 1, not {quantile}");
            return Err(PyValueError::new_err(text));
        }
        Ok(self.inner.value_at_quantile(quantile))
    }

    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn curve(&self, points: Vec<f64>) -> PyResult<Vec<u64>> {
        points.iter().map(|point| self.value_at(*point)).collect()
    }

    fn __repr__(&self) -> String {
        format!("<Histogram of {} values, in ns>", self.inner.len())
    }
}
