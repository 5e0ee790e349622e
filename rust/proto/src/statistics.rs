//! What a connection counts.

/// Messages and their payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Messages.
    pub messages: u64,
    /// Their bytes, metadata included.
    pub bytes: u64,
}

impl Count {
    #[inline]
    pub(crate) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

/// Messages of one direction by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests.
    pub requests: Count,
    /// Replies.
    pub replies: Count,
    /// Faults that answer a request.
    pub faults: Count,
    /// One-way messages.
    pub sends: Count,
    /// Messages on streams.
    pub streams: Count,
    /// Cancelled requests.
    pub cancels: u64,
    /// Pings.
    pub pings: u64,
    /// All frames' bytes, headers included.
    pub wire_bytes: u64,
}

/// The counters of one connection since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// What was queued for the peer.
    pub sent: Traffic,
    /// What arrived.
    pub received: Traffic,
    /// Frames for ids that are unknown, answered or foreign; they were dropped.
    pub ignored_ids: u64,
    /// Frames of types that may be skipped.
    pub skipped_frames: u64,
    /// Answers to requests that were cancelled or had expired.
    pub late_answers: u64,
    /// Our requests whose deadline passed.
    pub expired: u64,
    /// Requests of the peer that were dropped unstarted.
    pub dropped_unstarted: u64,
    /// One-way messages that the peer has not yet said to have consumed.
    pub unconfirmed: u64,
    /// Our requests without an answer.
    pub requests_in_flight: u64,
    /// The peer's requests without an answer.
    pub requests_running: u64,
    /// Requests that may be sent before one is answered.
    pub request_credit: u64,
    /// Bytes of requests that may be sent before one is answered.
    pub request_credit_bytes: u64,
    /// Streams that are open, of both sides.
    pub streams_open: u64,
    /// Bytes announced of messages that are arriving.
    pub assembly_bytes: u64,
    /// Bytes queued for the peer.
    pub output_bytes: u64,
    /// The smoothed round-trip time in nanoseconds, 0 before the first answer to a ping.
    pub rtt_ns: u64,
}

impl Count {
    fn merge(&mut self, other: &Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

impl Traffic {
    fn merge(&mut self, other: &Self) {
        self.requests.merge(&other.requests);
        self.replies.merge(&other.replies);
        self.faults.merge(&other.faults);
        self.sends.merge(&other.sends);
        self.streams.merge(&other.streams);
        self.cancels += other.cancels;
        self.pings += other.pings;
        self.wire_bytes += other.wire_bytes;
    }
}

impl Statistics {
    /// Adds the counters of another connection. What only one connection has, such as credit and
    /// the round-trip time, stays as it is.
    pub fn merge(&mut self, other: &Self) {
        self.sent.merge(&other.sent);
        self.received.merge(&other.received);
        self.ignored_ids += other.ignored_ids;
        self.skipped_frames += other.skipped_frames;
        self.late_answers += other.late_answers;
        self.expired += other.expired;
        self.dropped_unstarted += other.dropped_unstarted;
        self.unconfirmed += other.unconfirmed;
        self.requests_in_flight += other.requests_in_flight;
        self.requests_running += other.requests_running;
        self.streams_open += other.streams_open;
        self.assembly_bytes += other.assembly_bytes;
        self.output_bytes += other.output_bytes;
    }
}
