//! Zeebe's membership as Python drives it, and what a broker says of itself.

use std::collections::{BTreeMap, HashMap};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use ztransport_gossip::broker_info::{BrokerInfo, Health, Role};
use ztransport_gossip::kryo::{Host, Record, Release, Standing};
use ztransport_gossip::swim::Happened;
use ztransport_gossip::zeebe::{Answer, Identity, Node, Request, Settings};
use ztransport_gossip::{Misuse, Time};

use crate::errors;

/// Token, host, port, subject, payload and time-out in seconds.
type Asked<'py> = (u64, String, u16, &'static str, Bound<'py, PyBytes>, f64);

/// Name, host, port, state, generation, incarnation and properties.
type Told<'py> = (
    String,
    String,
    u16,
    &'static str,
    i64,
    i64,
    Bound<'py, PyDict>,
);

/// The reply to a request, or the request to make before.
#[derive(IntoPyObject)]
enum Answered<'py> {
    Reply(Bound<'py, PyBytes>),
    After(Asked<'py>),
}

/// A member of a Zeebe cluster, without clock and sockets.
#[pyclass(module = "ztransport._ztransport")]
pub(crate) struct ZeebeMembers {
    node: Node,
}

#[pymethods]
impl ZeebeMembers {
    #[new]
    #[pyo3(signature = (*, cluster, name, address, properties, seeds, version, wall_ms, seed, now, settings))]
    #[expect(
        clippy::too_many_arguments,
        reason = "named in Python: one for each choice"
    )]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn new(
        py: Python<'_>,
        cluster: String,
        name: String,
        address: (String, u16),
        properties: BTreeMap<String, String>,
        seeds: Vec<(String, u16)>,
        version: (i32, i32, i32),
        wall_ms: i64,
        seed: u64,
        now: f64,
        settings: HashMap<String, u32>,
    ) -> PyResult<ZeebeMembers> {
        let identity = Identity {
            cluster,
            id: name,
            address: host(address),
            release: Release {
                major: version.0,
                minor: version.1,
                patch: version.2,
                ..Release::default()
            },
            properties,
            seeds: seeds.into_iter().map(host).collect(),
            wall_ms,
            seed,
        };
        let settings = chosen(py, &settings)?;
        let node = Node::new(settings, identity, time(now));
        node.map(|node| ZeebeMembers { node })
            .map_err(|error| misuse(py, &error))
    }

    #[getter]
    fn own<'py>(&self, py: Python<'py>) -> PyResult<Told<'py>> {
        told(py, self.node.own(), state(self.node.own()))
    }

    #[getter]
    fn is_converged(&self) -> bool {
        self.node.is_converged()
    }

    #[getter]
    fn is_departed(&self) -> bool {
        self.node.is_departed()
    }

    fn update_properties(
        &mut self,
        py: Python<'_>,
        now: f64,
        properties: BTreeMap<String, String>,
    ) -> PyResult<()> {
        let updated = self.node.update_properties(time(now), properties);
        updated.map_err(|error| misuse(py, &error))
    }

    fn leave(&mut self) {
        self.node.leave();
    }

    fn handle_timeout(&mut self, now: f64) {
        self.node.handle_timeout(time(now));
    }

    fn handle_datagram(&mut self, now: f64, data: &[u8]) {
        self.node.handle_datagram(time(now), data);
    }

    fn handle_request<'py>(
        &mut self,
        py: Python<'py>,
        now: f64,
        subject: &str,
        payload: &[u8],
    ) -> PyResult<Answered<'py>> {
        match self.node.handle_request(time(now), subject, payload) {
            Ok(Answer::Reply(reply)) => Ok(Answered::Reply(PyBytes::new(py, &reply))),
            Ok(Answer::After(request)) => Ok(Answered::After(asked(py, request))),
            Err(refused) => Err(PyValueError::new_err(refused.to_string())),
        }
    }

    #[pyo3(signature = (now, token, reply))]
    fn handle_reply<'py>(
        &mut self,
        py: Python<'py>,
        now: f64,
        token: u64,
        reply: Option<&[u8]>,
    ) -> Option<Bound<'py, PyBytes>> {
        let answer = self.node.handle_reply(time(now), token, reply);
        answer.map(|bytes| PyBytes::new(py, &bytes))
    }

    fn poll_timeout(&self) -> Option<f64> {
        let deadline = self.node.poll_timeout();
        deadline.map(|deadline| deadline.as_nanos() as f64 / 1e9)
    }

    fn poll_request<'py>(&mut self, py: Python<'py>) -> Option<Asked<'py>> {
        let request = self.node.poll_request();
        request.map(|request| asked(py, request))
    }

    fn poll_transmit<'py>(
        &mut self,
        py: Python<'py>,
    ) -> Option<(String, u16, Bound<'py, PyBytes>)> {
        let (to, bytes) = self.node.poll_transmit()?;
        Some((to.name, to.port, PyBytes::new(py, &bytes)))
    }

    fn poll_event<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Told<'py>>> {
        let Some(event) = self.node.poll_event() else {
            return Ok(None);
        };
        let state = match event.happened {
            Happened::Left => "left",
            Happened::Failed => "dead",
            _ => state(&event.record),
        };
        told(py, &event.record, state).map(Some)
    }

    fn statistics(&self) -> BTreeMap<&'static str, u64> {
        self.node.statistics().by_name().into()
    }
}

fn time(seconds: f64) -> Time {
    Time::from_nanos((seconds * 1e9) as u64)
}

fn host((name, port): (String, u16)) -> Host {
    Host { name, port }
}

fn misuse(py: Python<'_>, error: &Misuse) -> PyErr {
    match error {
        Misuse::Departed => errors::error(py, "Closed", &error.to_string(), None),
        _ => errors::configuration(py, &error.to_string()),
    }
}

fn chosen(py: Python<'_>, given: &HashMap<String, u32>) -> PyResult<Settings> {
    let mut settings = Settings::default();
    for (name, &value) in given {
        match name.as_str() {
            "broadcast_updates" => settings.broadcast_updates = value != 0,
            "broadcast_disputes" => settings.broadcast_disputes = value != 0,
            "notify_suspect" => settings.notify_suspect = value != 0,
            "gossip_interval_ms" => settings.gossip_interval_ms = value,
            "gossip_fanout" => settings.gossip_fanout = value,
            "probe_interval_ms" => settings.probe_interval_ms = value,
            "probe_timeout_ms" => settings.probe_timeout_ms = value,
            "suspect_probes" => settings.suspect_probes = value,
            "failure_timeout_ms" => settings.failure_timeout_ms = value,
            "sync_interval_ms" => settings.sync_interval_ms = value,
            _ => {
                let text = format!("a Zeebe membership has no setting {name:?}");
                return Err(errors::configuration(py, &text));
            }
        }
    }
    Ok(settings)
}

fn asked(py: Python<'_>, request: Request) -> Asked<'_> {
    let payload = PyBytes::new(py, &request.payload);
    let timeout = f64::from(request.timeout_ms) / 1e3;
    let Host { name, port } = request.to;
    (request.token, name, port, request.subject, payload, timeout)
}

fn state(record: &Record) -> &'static str {
    match record.standing {
        Some(Standing::Alive) | None => "alive",
        Some(Standing::Suspect) => "suspect",
        Some(Standing::Dead) => "left",
    }
}

fn told<'py>(py: Python<'py>, record: &Record, state: &'static str) -> PyResult<Told<'py>> {
    let properties = PyDict::new(py);
    for (key, value) in &record.properties {
        properties.set_item(key, PyBytes::new(py, value.as_bytes()))?;
    }
    let (name, port) = match &record.address {
        Some(address) => (address.name.clone(), address.port),
        None => (String::new(), 0),
    };
    Ok((
        record.id.clone(),
        name,
        port,
        state,
        record.timestamp,
        record.incarnation,
        properties,
    ))
}

/// The fields of `brokerInfo` by name.
#[pyfunction]
pub(crate) fn decode_broker_info<'py>(
    py: Python<'py>,
    value: &[u8],
) -> PyResult<Bound<'py, PyDict>> {
    let info = BrokerInfo::decode(value);
    let info = info.map_err(|error| PyValueError::new_err(error.0))?;
    let roles: BTreeMap<i32, &str> = info.roles.into_iter().map(role).collect();
    let health: BTreeMap<i32, &str> = info.health.into_iter().map(health).collect();
    let fields = PyDict::new(py);
    fields.set_item("node_id", info.node_id)?;
    fields.set_item("partitions_count", info.partitions_count)?;
    fields.set_item("cluster_size", info.cluster_size)?;
    fields.set_item("replication_factor", info.replication_factor)?;
    fields.set_item("version", info.version)?;
    fields.set_item("addresses", info.addresses)?;
    fields.set_item("roles", roles)?;
    fields.set_item("terms", info.terms)?;
    fields.set_item("health", health)?;
    Ok(fields)
}

const fn role((partition, role): (i32, Role)) -> (i32, &'static str) {
    let name = match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Inactive => "inactive",
        Role::Unknown(_) => "unknown",
    };
    (partition, name)
}

const fn health((partition, health): (i32, Health)) -> (i32, &'static str) {
    let name = match health {
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
        Health::Dead => "dead",
        Health::Unknown(_) => "unknown",
    };
    (partition, name)
}
