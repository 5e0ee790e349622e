//! A membership as Python sees it.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use ztransport_engine::{End, MemberStatus, MembershipSettings, NodeKey, Seen};
use ztransport_gossip::error::Drop as Dropped;
use ztransport_gossip::limits::Floor;
use ztransport_gossip::member::Profile;
use ztransport_gossip::seal::Sealing;
use ztransport_gossip::wire::{Properties, State};
use ztransport_gossip::{Misuse, Rotation, Settings};

use crate::core::Engine;
use crate::errors;
use crate::node::NodeCore;

/// One node's membership.
#[pyclass(frozen, module = "ztransport._ztransport")]
pub(crate) struct Membership {
    engine: Py<Engine>,
    node: NodeKey,
}

#[pymethods]
impl Membership {
    /// Makes a node a member; `changed` is called whenever `take` has something.
    #[new]
    #[pyo3(signature = (node, *, seeds, properties, key, key_epoch, sealing, streams_only, settings, changed))]
    #[expect(
        clippy::too_many_arguments,
        reason = "named in Python: one for each setting"
    )]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn new(
        node: &Bound<'_, NodeCore>,
        seeds: Vec<String>,
        properties: BTreeMap<String, PyBackedBytes>,
        key: Option<PyBackedBytes>,
        key_epoch: u8,
        sealing: Option<String>,
        streams_only: bool,
        settings: &Bound<'_, PyDict>,
        changed: Py<PyAny>,
    ) -> PyResult<Membership> {
        let py = node.py();
        let key = key.as_deref().map(|key| (key_epoch, key));
        let sealing = Sealing::choose(key, sealing.as_deref());
        let settings = MembershipSettings {
            protocol: protocol(settings)?,
            properties: encoded(py, &properties)?,
            sealing: sealing.map_err(|error| misuse(py, &error))?,
            seeds,
            streams_only,
        };
        let NodeCore { engine, key, .. } = node.get();
        let mut core = engine.get().lock(py)?;
        let opened = core.engine.open_membership(*key, settings);
        opened.map_err(|failure| errors::failure(py, &failure, None))?;
        if let Some(entry) = core.nodes.get_mut(key) {
            entry.members_changed = Some(changed);
        }
        Ok(Membership {
            engine: engine.clone_ref(py),
            node: *key,
        })
    }

    /// Members that have changed since the last call, and how the membership has ended, if it has.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Option<&'static str>)> {
        let mut core = self.engine.get().lock(py)?;
        let news = core.engine.take_members(self.node);
        drop(core);
        let news = news.map_err(|failure| errors::failure(py, &failure, None))?;
        let members = PyList::empty(py);
        for seen in &news.changes {
            members.append(member(py, seen)?)?;
        }
        Ok((members, news.end.map(end_name)))
    }

    /// Tells all members other properties.
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn update_properties(
        &self,
        py: Python<'_>,
        properties: BTreeMap<String, PyBackedBytes>,
    ) -> PyResult<()> {
        let encoded = encoded(py, &properties)?;
        let mut core = self.engine.get().lock(py)?;
        let told = core.engine.update_properties(self.node, encoded);
        told.map_err(|failure| errors::failure(py, &failure, None))
    }

    /// Begins to replace the cluster key; returns the new key's epoch.
    fn install_key(&self, py: Python<'_>, key: &[u8]) -> PyResult<u8> {
        let mut core = self.engine.get().lock(py)?;
        let begun = core.engine.install_key(self.node, key);
        begun.map_err(|failure| errors::failure(py, &failure, None))
    }

    /// Begins to leave.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine.get().lock(py)?;
        let begun = core.engine.leave(self.node);
        begun.map_err(|failure| errors::failure(py, &failure, None))
    }

    /// Ends without a word; whoever has not left is dead to the others.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine.get().lock(py)?;
        core.engine.close_membership(self.node);
        let entry = core.nodes.get_mut(&self.node);
        let changed = entry.and_then(|entry| entry.members_changed.take());
        drop(core);
        drop(changed);
        Ok(())
    }

    /// Whether this member has joined and all it hears from have had the same view for long enough.
    fn is_converged(&self, py: Python<'_>) -> PyResult<bool> {
        let (status, _) = self.status(py)?;
        Ok(status.converged)
    }

    /// How far a key rotation is: epoch, whether it runs, members present, those that hold the
    /// key, those that are ready, and laggards. None where nothing is sealed.
    fn rotation<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let (status, _) = self.status(py)?;
        status.rotation.map(|r| rotation(py, &r)).transpose()
    }

    /// The counters, by the names of the fields of `ClusterStatistics`.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (status, streams) = self.status(py)?;
        let counted = counters(py, &status)?;
        counted.set_item("streams", streams)?;
        counted.set_item("dropped", dropped(py, &status)?)?;
        Ok(counted)
    }
}

impl Membership {
    fn status(&self, py: Python<'_>) -> PyResult<(MemberStatus, usize)> {
        let core = self.engine.get().lock(py)?;
        let status = core.engine.membership_status(self.node);
        drop(core);
        status.map_err(|failure| errors::failure(py, &failure, None))
    }
}

/// Calls the membership of a node that has news.
pub(crate) fn changed(engine: &Bound<'_, Engine>, node: NodeKey) -> PyResult<()> {
    let py = engine.py();
    let core = engine.get().lock(py)?;
    let entry = core.nodes.get(&node);
    let changed = entry.and_then(|entry| Some(entry.members_changed.as_ref()?.clone_ref(py)));
    drop(core);
    changed.map_or(Ok(()), |changed| changed.call0(py).map(drop))
}

pub(crate) fn misuse(py: Python<'_>, misuse: &Misuse) -> PyErr {
    errors::configuration(py, &misuse.to_string())
}

pub(crate) fn encoded(
    py: Python<'_>,
    properties: &BTreeMap<String, PyBackedBytes>,
) -> PyResult<Vec<u8>> {
    Properties::encode(properties).map_err(|error| misuse(py, &error))
}

/// The protocol's settings with the given ones set.
fn protocol(given: &Bound<'_, PyDict>) -> PyResult<Settings> {
    let mut settings = Settings::default();
    for (name, value) in given {
        let name: String = name.extract()?;
        let value: u32 = value.extract()?;
        match name.as_str() {
            "probe_interval_ms" => settings.probe_interval_ms = value,
            "probe_timeout_ms_min" => settings.probe_timeout_ms_min = value,
            "probe_timeout_ms_max" => settings.probe_timeout_ms_max = value,
            "helpers" => settings.helpers = value,
            "gossip_interval_ms" => settings.gossip_interval_ms = value,
            "gossip_fanout" => settings.gossip_fanout = value,
            "sync_interval_ms" => settings.sync_interval_ms = value,
            "suspicion_floor_ms" => settings.suspicion_floor = Floor::Additive(value),
            "suspicion_ceiling" => settings.suspicion_ceiling = value,
            _ => {
                let text = format!("the native protocol has no setting {name}");
                return Err(errors::configuration(given.py(), &text));
            }
        }
    }
    Ok(settings)
}

pub(crate) const fn state_name(state: State) -> &'static str {
    match state {
        State::Alive => "alive",
        State::Suspect => "suspect",
        State::Dead => "dead",
        State::Left => "left",
    }
}

const fn end_name(end: End) -> &'static str {
    match end {
        End::Left => "left",
        End::NameLost => "name_lost",
        End::KeyRetired => "key_retired",
        End::Failed => "failed",
    }
}

/// Name, address, state, generation, incarnation and properties.
fn member<'py>(py: Python<'py>, seen: &Seen) -> PyResult<Bound<'py, PyTuple>> {
    let profile: &Profile = &seen.profile;
    let fields = (
        &*profile.name,
        profile.address.to_string(),
        state_name(seen.state),
        profile.generation,
        seen.incarnation,
        properties_dict(py, &profile.properties())?,
    );
    fields.into_pyobject(py)
}

pub(crate) fn properties_dict<'py>(
    py: Python<'py>,
    properties: &Properties<'_>,
) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    for (key, value) in properties.pairs() {
        found.set_item(key, PyBytes::new(py, value))?;
    }
    Ok(found)
}

fn rotation<'py>(py: Python<'py>, rotation: &Rotation) -> PyResult<Bound<'py, PyTuple>> {
    let laggards = PyTuple::new(py, rotation.laggards.iter().map(|name| &**name))?;
    let fields = (
        rotation.epoch,
        rotation.runs,
        rotation.present,
        rotation.installed,
        rotation.ready,
        laggards,
    );
    fields.into_pyobject(py)
}

fn counters<'py>(py: Python<'py>, status: &MemberStatus) -> PyResult<Bound<'py, PyDict>> {
    let counted = &status.statistics;
    let into = PyDict::new(py);
    into.set_item("members", status.present)?;
    into.set_item("health", status.health)?;
    into.set_item("loop_lag_ms", status.lag_nanos as f64 / 1e6)?;
    for (name, value) in [
        ("datagrams_sent", counted.datagrams_sent),
        ("bytes_sent", counted.bytes_sent),
        ("datagrams_received", counted.datagrams_received),
        ("bytes_received", counted.bytes_received),
        ("probes", counted.probes),
        ("probes_failed", counted.probes_failed),
        ("suspicions", counted.suspicions),
        ("refutations", counted.refutations),
        ("deaths", counted.deaths),
        ("syncs", counted.syncs),
        ("rumours_sent", counted.rumours_sent),
    ] {
        into.set_item(name, value)?;
    }
    Ok(into)
}

/// What was dropped, by reason, without reasons that did not occur.
fn dropped<'py>(py: Python<'py>, status: &MemberStatus) -> PyResult<Bound<'py, PyDict>> {
    let counted = &status.statistics;
    let refused = Dropped::ALL.map(|reason| (reason.name(), counted.dropped_for(reason)));
    let lost = [
        ("output_full", counted.output_dropped),
        ("view_full", counted.members_refused),
        ("not_sent", status.unsent),
        ("stream_output_full", status.stream_output_dropped),
        ("stream_not_connected", status.stream_unconnected),
        ("stream_input_full", status.stream_input_dropped),
    ];
    let into = PyDict::new(py);
    for (name, count) in refused.into_iter().chain(lost) {
        if count > 0 {
            into.set_item(name, count)?;
        }
    }
    Ok(into)
}
