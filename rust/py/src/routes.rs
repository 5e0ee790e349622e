//! Which handler or subscription a subject belongs to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::inbox::Inbox;

/// Subjects with slow handlers that are told apart; more are not counted by name.
const SLOW_SUBJECTS_MAX: usize = 256;

/// A function that answers messages or serves streams.
pub(crate) struct Handler {
    pub(crate) function: Py<PyAny>,
    /// Whether it needs a task of its own.
    pub(crate) is_async: bool,
}

/// Where the messages of one subject of one peer go.
pub(crate) struct Route {
    pub(crate) subject: Py<PyString>,
    pub(crate) handler: Option<Arc<Handler>>,
    pub(crate) inbox: Option<Arc<Py<Inbox>>>,
    pub(crate) stream: Option<Arc<Handler>>,
}

/// What a node does with what arrives, by subject.
#[derive(Default)]
pub(crate) struct Routes {
    exact: HashMap<String, Arc<Handler>>,
    /// The longest first.
    prefixes: Vec<(String, Arc<Handler>)>,
    streams: HashMap<String, Arc<Handler>>,
    inboxes: HashMap<String, Arc<Py<Inbox>>>,
}

impl Routes {
    /// Resolves a subject: exact subjects win over prefixes, longer prefixes over shorter ones.
    pub(crate) fn resolve(&self, name: &str, subject: Py<PyString>) -> Route {
        Route {
            subject,
            handler: self
                .exact
                .get(name)
                .or_else(|| self.by_prefix(name))
                .cloned(),
            inbox: self.inboxes.get(name).cloned(),
            stream: self.streams.get(name).cloned(),
        }
    }

    fn by_prefix(&self, name: &str) -> Option<&Arc<Handler>> {
        self.prefixes
            .iter()
            .find(|(prefix, _)| name.starts_with(prefix))
            .map(|(_, found)| found)
    }

    /// Sets a handler; returns the one it replaces.
    pub(crate) fn set(&mut self, subject: String, handler: Handler) -> Option<Arc<Handler>> {
        self.exact.insert(subject, Arc::new(handler))
    }

    pub(crate) fn set_stream(&mut self, subject: String, handler: Handler) -> Option<Arc<Handler>> {
        self.streams.insert(subject, Arc::new(handler))
    }

    pub(crate) fn set_prefix(&mut self, prefix: String, handler: Handler) -> Option<Arc<Handler>> {
        let old = self.prefixes.iter().position(|(known, _)| *known == prefix);
        let old = old.map(|index| self.prefixes.remove(index).1);
        let place = self
            .prefixes
            .partition_point(|(known, _)| known.len() >= prefix.len());
        self.prefixes.insert(place, (prefix, Arc::new(handler)));
        old
    }

    /// Adds a subscription unless the subject has one.
    pub(crate) fn subscribe(&mut self, subject: &str, inbox: Py<Inbox>) -> bool {
        if self.inboxes.contains_key(subject) {
            return false;
        }
        self.inboxes.insert(subject.to_owned(), Arc::new(inbox));
        true
    }

    pub(crate) fn unsubscribe(&mut self, subject: &str) -> Option<Arc<Py<Inbox>>> {
        self.inboxes.remove(subject)
    }

    pub(crate) fn inboxes(&self) -> impl Iterator<Item = &Arc<Py<Inbox>>> {
        self.inboxes.values()
    }
}

/// Calls of a handler that took longer than the budget.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slow {
    pub(crate) count: u64,
    pub(crate) max_ns: u64,
}

/// What the binding counts for a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) unroutable: u64,
    pub(crate) overflowed: u64,
    pub(crate) unanswered: u64,
    pub(crate) handler_failures: u64,
    pub(crate) tls_reload_failures: u64,
    pub(crate) slow: BTreeMap<String, Slow>,
}

impl Counters {
    pub(crate) fn count_slow(&mut self, subject: &str, nanos: u64) {
        if !self.slow.contains_key(subject) && self.slow.len() >= SLOW_SUBJECTS_MAX {
            return;
        }
        let slow = self.slow.entry(subject.to_owned()).or_default();
        slow.count += 1;
        slow.max_ns = slow.max_ns.max(nanos);
    }
}

/// A node as the binding knows it.
pub(crate) struct NodeEntry {
    pub(crate) routes: Routes,
    pub(crate) counters: Counters,
    /// The class of its peers.
    pub(crate) peer_class: Py<PyAny>,
    /// The class of its streams.
    pub(crate) stream_class: Py<PyAny>,
    /// Calls of a sync handler longer than this are counted and logged.
    pub(crate) handler_budget_ns: u64,
    /// Whether callers are told what a handler raised.
    pub(crate) expose_errors: bool,
    /// Called when the node's membership has news.
    pub(crate) members_changed: Option<Py<PyAny>>,
    /// Wait for the end of a drain.
    pub(crate) draining: Vec<u64>,
    pub(crate) drained: bool,
}
