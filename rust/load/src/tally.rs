//! What came of a window's sends: counts, errors by name, and three histograms.

use std::collections::BTreeMap;

use crate::histogram::{Histogram, empty};

/// The account of one window. Times are nanoseconds of one clock.
#[derive(Debug)]
pub(crate) struct Tally {
    /// From the intended send to the end.
    response: Histogram,
    /// From the actual send to the end.
    service: Histogram,
    /// How late the generator itself came to an intended send; not how long a cap then held it.
    send_delay: Histogram,
    /// Whether sends have intended times of their own: in a closed loop they are sent when intended.
    open: bool,
    pub(crate) sent: u64,
    pub(crate) completed: u64,
    /// Intended sends that found the cap or the receiver's credit used up.
    pub(crate) capped: u64,
    errors: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn new(open: bool) -> Tally {
        Tally {
            response: empty(),
            service: empty(),
            send_delay: empty(),
            open,
            sent: 0,
            completed: 0,
            capped: 0,
            errors: BTreeMap::new(),
        }
    }

    pub(crate) fn completed(&mut self, intended: u64, sent: u64, now: u64) {
        self.completed += 1;
        self.service.saturating_record(now.saturating_sub(sent));
        if self.open {
            self.response
                .saturating_record(now.saturating_sub(intended));
        }
    }

    /// The generator turned to an intended send, whether or not it could go.
    pub(crate) fn tried(&mut self, intended: u64, now: u64) {
        self.send_delay
            .saturating_record(now.saturating_sub(intended));
    }

    pub(crate) fn failed(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            *self.errors.entry(name).or_default() += count;
        }
    }

    pub(crate) fn errors(&self) -> &BTreeMap<&'static str, u64> {
        &self.errors
    }

    pub(crate) fn response(&self) -> &Histogram {
        if self.open {
            &self.response
        } else {
            &self.service
        }
    }

    pub(crate) fn service(&self) -> &Histogram {
        &self.service
    }

    pub(crate) fn send_delay(&self) -> &Histogram {
        &self.send_delay
    }

    /// Operations in flight on average by Little's law: completions per second times their mean
    /// service time. In a closed loop this is connections times window, or the loop was not full.
    pub(crate) fn in_flight_mean(&self, seconds: f64) -> f64 {
        self.completed as f64 / seconds * self.service.mean() / 1e9
    }
}
