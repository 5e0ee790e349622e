//! The smallest host loop: wait for the engine's descriptor, take a turn, flush.

use rustix::event::{PollFd, PollFlags, poll};
use ztransport_engine::{Batch, Engine, LinkLimits, NodeKey, NodeSettings, Poll, spin};
use ztransport_proto::Limits;

use crate::options::Options;

/// An engine with one node.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) node: NodeKey,
    batch: Batch,
}

impl Host {
    pub(crate) fn new(options: &Options) -> Result<Host, String> {
        let mut engine = Engine::new(options.engine()).map_err(|error| error.to_string())?;
        let settings = NodeSettings {
            cluster: "bench".to_owned(),
            node_id: "load".to_owned(),
            advertise: String::new(),
            limits: Limits::default(),
            tls: options.tls()?,
            links: LinkLimits::default(),
        };
        let node = engine
            .open_node(settings)
            .map_err(|error| error.to_string())?;
        Ok(Host {
            engine,
            node,
            batch: Batch::new(),
        })
    }

    /// Takes one turn and then waits for the next, unless there is more to do.
    pub(crate) fn turn(&mut self, work: &mut dyn FnMut(&mut Engine, &Batch)) -> Result<(), String> {
        let poll_again = loop {
            match self
                .engine
                .poll(&mut self.batch)
                .map_err(|error| error.to_string())?
            {
                Poll::Work => work(&mut self.engine, &self.batch),
                Poll::Yield => break true,
                Poll::Idle => break false,
            }
        };
        self.engine.flush();
        if !poll_again {
            self.wait()?;
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), String> {
        let descriptor = self.engine.as_fd();
        if let Some(bound) = self.engine.spin_nanos()
            && spin(descriptor, bound)
        {
            return Ok(());
        }
        match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}
