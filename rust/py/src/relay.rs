//! The minimal relay as a process of its own.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pyo3::prelude::*;
use ztransport_relay::{Leg, Relay};

use crate::material::Material;

/// Relays between ports of the loopback interface until the process is ended.
///
/// A leg is its port, the port upstream, and with what TLS ends here, if it does. The interpreter
/// lock is free all the while.
#[pyfunction]
#[pyo3(signature = (legs, delay_us = 0))]
pub(crate) fn run_relay(
    py: Python<'_>,
    legs: Vec<(u16, u16, Option<Bound<'_, Material>>)>,
    delay_us: u64,
) -> PyResult<()> {
    let legs = legs.into_iter().map(|(port, upstream, material)| Leg {
        listen: loopback(port),
        upstream: loopback(upstream),
        material: material.map(|given| given.get().inner.clone()),
    });
    let legs = legs.collect();
    py.detach(|| relay(legs, Duration::from_micros(delay_us)))?;
    Ok(())
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn relay(legs: Vec<Leg>, delay: Duration) -> io::Result<Infallible> {
    Relay::bind(legs, delay)?.run()
}
