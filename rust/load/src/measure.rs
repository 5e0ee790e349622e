//! Runs a window on a host: sends what is due, takes what arrives, sleeps in between.

use ztransport_engine::Engine;

use crate::clock::now_nanos;
use crate::host::Host;
use crate::names;
use crate::pattern::{Pattern, Sent};
use crate::window::{DRAIN_NANOS_MAX, Next, Window};

/// Sends between two looks at the sockets.
const SENDS_AT_ONCE_MAX: usize = 256;
/// Sends between two looks at the clock: they take it for the time of each of them.
const SENDS_A_LOOK: usize = 64;

/// Runs the window to its end: until everything that was sent has ended. Returns the end's time.
pub(crate) fn run(
    host: &mut Host,
    pattern: &mut dyn Pattern,
    window: &mut Window,
) -> Result<u64, String> {
    let mut ready = true;
    loop {
        // After a wait that only ended in time there is nothing to take: one call less a send.
        let again = ready
            && host.turn(&mut |engine, batch| {
                pattern.take(engine, batch, window, now_nanos());
                send_due(engine, pattern, window);
            })?;
        let next = send_due(&mut host.engine, pattern, window);
        host.engine.flush();
        if next == Next::Over {
            return drain(host, pattern, window);
        }
        ready = again || wait(host, next)?;
    }
}

/// Sends what is due, but not all of a great arrear at once.
fn send_due(engine: &mut Engine, pattern: &mut dyn Pattern, window: &mut Window) -> Next {
    let mut now = 0;
    for index in 0..SENDS_AT_ONCE_MAX {
        if index % SENDS_A_LOOK == 0 {
            now = now_nanos();
        }
        let next = window.next(now);
        let Next::Send { intended } = next else {
            return next;
        };
        match pattern.send(engine, intended, now) {
            Sent::Gone => window.sent(intended, now),
            Sent::NoRoom => return window.held(now),
            Sent::Refused(name) => {
                window.sent(intended, now);
                window.failed(name, 1);
            }
            Sent::NoPeer => return Next::Over,
        }
    }
    Next::At(now)
}

/// Waits for something to take, but no longer than until the next look; returns whether there is.
fn wait(host: &mut Host, next: Next) -> Result<bool, String> {
    let Next::At(until) = next else {
        return Ok(true);
    };
    if until <= now_nanos() {
        return Ok(true);
    }
    host.wait(Some(until))
}

/// Waits for the answers to what was sent; what gets none in time has failed.
fn drain(host: &mut Host, pattern: &mut dyn Pattern, window: &mut Window) -> Result<u64, String> {
    let until = now_nanos() + DRAIN_NANOS_MAX;
    let mut now = now_nanos();
    while window.in_flight() > 0 && now < until {
        let again = host.turn(&mut |engine, batch| {
            pattern.take(engine, batch, window, now_nanos());
        })?;
        host.engine.flush();
        if !again && window.in_flight() > 0 {
            wait(host, Next::At(until))?;
        }
        now = now_nanos();
    }
    let given_up = pattern.finish(&mut host.engine);
    window.failed(names::UNANSWERED, given_up);
    window.tally.failed(names::UNSENT, window.unsent());
    Ok(now)
}
