//! The Python binding of ztransport: what must touch both worlds and no protocol rule.
//!
//! The module only lists what it exports. Conversions stand in `convert` and `errors`, waking a
//! host loop in `hooks` and `waiters`, the engine of one loop in `core`, and what a turn does with
//! what arrived in `dispatch`.

#![forbid(unsafe_code)]

mod convert;
mod errors;
mod hooks;
mod limits;
mod waiters;

mod core;
mod routes;
mod statistics;
mod workers;

mod bell;
mod built;
mod calls;
mod cluster;
mod codec;
mod dispatch;
mod envelope;
mod flow;
mod inbox;
mod link;
mod material;
mod message;
mod node;
mod oneway;
mod peers;
mod pool;
mod stream;
mod streams;

mod generator;
mod histogram;
mod relay;
mod zeebe_members;

/// The extension module.
#[pyo3::pymodule(gil_used = false)]
mod _ztransport {
    #[pymodule_export]
    use crate::bell::Bell;
    #[pymodule_export]
    use crate::built::built_with;
    #[pymodule_export]
    use crate::cluster::Membership;
    #[pymodule_export]
    use crate::codec::gossip_decode;
    #[pymodule_export]
    use crate::codec::gossip_encode;
    #[pymodule_export]
    use crate::core::Engine;
    #[pymodule_export]
    use crate::envelope::gossip_open;
    #[pymodule_export]
    use crate::envelope::gossip_seal;
    #[pymodule_export]
    use crate::generator::generator_idle;
    #[pymodule_export]
    use crate::generator::run_generator;
    #[pymodule_export]
    use crate::histogram::Histogram;
    #[pymodule_export]
    use crate::hooks::Host;
    #[pymodule_export]
    use crate::inbox::Inbox;
    #[pymodule_export]
    use crate::limits::limit_defaults;
    #[pymodule_export]
    use crate::link::Link;
    #[pymodule_export]
    use crate::link::Seed;
    #[pymodule_export]
    use crate::material::Material;
    #[pymodule_export]
    use crate::message::Message;
    #[pymodule_export]
    use crate::message::Reply;
    #[pymodule_export]
    use crate::node::NodeCore;
    #[pymodule_export]
    use crate::relay::run_relay;
    #[pymodule_export]
    use crate::statistics::Count;
    #[pymodule_export]
    use crate::statistics::NodeStatistics;
    #[pymodule_export]
    use crate::statistics::PeerStatistics;
    #[pymodule_export]
    use crate::statistics::SlowHandler;
    #[pymodule_export]
    use crate::statistics::Traffic;
    #[pymodule_export]
    use crate::stream::StreamCore;
    #[pymodule_export]
    use crate::waiters::Waiter;
    #[pymodule_export]
    use crate::workers::Worker;
    #[pymodule_export]
    use crate::zeebe_members::ZeebeMembers;
    #[pymodule_export]
    use crate::zeebe_members::decode_broker_info;
}
