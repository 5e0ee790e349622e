//! The smallest host loop: take a turn, flush, wait for the engine's descriptor.

use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use ztransport_engine::{Batch, Engine, EngineSettings, LinkLimits, NodeKey, NodeSettings};
use ztransport_engine::{Poll, spin};
use ztransport_proto::Limits;
use ztransport_tls as tls;

use crate::alarm::Alarm;

/// An engine with one node.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) node: NodeKey,
    alarm: Alarm,
    batch: Batch,
}

impl Host {
    pub(crate) fn new(
        engine: EngineSettings,
        cluster: &str,
        tls: Option<Arc<tls::Material>>,
    ) -> Result<Host, String> {
        let mut engine = Engine::new(engine).map_err(|error| error.to_string())?;
        let settings = NodeSettings {
            cluster: cluster.to_owned(),
            node_id: "load".to_owned(),
            advertise: String::new(),
            roles: Vec::new(),
            limits: Limits::default(),
            tls,
            accept: None,
            dial: None,
            links: LinkLimits::default(),
            zeebe: ztransport_engine::ZeebeSettings::default(),
        };
        let node = engine
            .open_node(settings)
            .map_err(|error| error.to_string())?;
        Ok(Host {
            engine,
            node,
            alarm: Alarm::new()?,
            batch: Batch::new(),
        })
    }

    /// Takes one turn and then waits for the next, unless there is more to do.
    pub(crate) fn step(&mut self, work: &mut dyn FnMut(&mut Engine, &Batch)) -> Result<(), String> {
        let again = self.turn(work)?;
        self.engine.flush();
        if !again {
            self.wait(None)?;
        }
        Ok(())
    }

    /// Takes one turn without its flush; returns whether there is more to do.
    pub(crate) fn turn(
        &mut self,
        work: &mut dyn FnMut(&mut Engine, &Batch),
    ) -> Result<bool, String> {
        loop {
            let found = self.engine.poll(&mut self.batch);
            match found.map_err(|error| error.to_string())? {
                Poll::Work => work(&mut self.engine, &self.batch),
                Poll::Yield => return Ok(true),
                Poll::Idle => return Ok(false),
            }
        }
    }

    /// Waits until the engine has work, or until then; returns whether it has.
    pub(crate) fn wait(&mut self, until: Option<u64>) -> Result<bool, String> {
        let descriptor = self.engine.as_fd();
        if let Some(bound) = self.engine.spin_nanos()
            && spin(descriptor, bound)
        {
            return Ok(true);
        }
        self.alarm.set(until)?;
        let mut watched = [
            PollFd::new(&descriptor, PollFlags::IN),
            PollFd::new(&self.alarm, PollFlags::IN),
        ];
        match poll(&mut watched, None) {
            Ok(_) => Ok(!watched[0].revents().is_empty()),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Host {
    /// Tells the peers: a socket that only closes looks like a crash to them.
    fn drop(&mut self) {
        self.engine.close_node(self.node);
    }
}
