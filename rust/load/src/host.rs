//! The smallest host loop: take a turn, flush, wait for the engine's descriptor.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ztransport_engine::{Batch, Engine, EngineSettings, LinkLimits, NodeKey, NodeSettings};
use ztransport_engine::{Poll, spin};
use ztransport_proto::Limits;
use ztransport_tls as tls;

/// An engine with one node.
pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) node: NodeKey,
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

    /// Waits until the engine has work, or for so long; returns whether it has.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<bool, String> {
        let descriptor = self.engine.as_fd();
        if let Some(bound) = self.engine.spin_nanos()
            && spin(descriptor, bound)
        {
            return Ok(true);
        }
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        match poll(
            &mut [PollFd::new(&descriptor, PollFlags::IN)],
            timeout.as_ref(),
        ) {
            Ok(count) => Ok(count > 0),
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

/// Makes this thread's waits end when they should: by default the kernel gathers those that end
/// within 50 microseconds, more than the gap between two sends.
pub(crate) fn wake_on_time() -> Result<(), String> {
    rustix::thread::set_current_timer_slack(Some(NonZeroU64::MIN))
        .map_err(|error| format!("the timer's slack cannot be set: {error}"))
}
