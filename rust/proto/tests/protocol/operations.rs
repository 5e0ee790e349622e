//! Random operations for the model.

use proptest::prelude::*;
use ztransport_proto::Limits;

/// Subjects that each side uses.
pub(crate) const SUBJECTS: u16 = 2;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Send {
        subject: u16,
        size: usize,
    },
    Request {
        size: usize,
        deadline_ms: u64,
    },
    Cancel {
        pick: usize,
    },
    Answer {
        pick: usize,
        size: usize,
        fails: bool,
    },
    Release {
        subject: u16,
    },
    Open,
    Data {
        pick: usize,
        size: usize,
    },
    Finish {
        pick: usize,
    },
    Reset {
        pick: usize,
    },
    Consume {
        pick: usize,
    },
    Deliver {
        bytes: usize,
    },
    Advance {
        millis: u64,
    },
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 8_usize..200, 1 => Just(65_536), 1 => 65_537_usize..140_000, 1 => Just(300_000)]
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let subject = 1..=SUBJECTS;
    let pick = 0_usize..8;
    prop_oneof![
        6 => (subject.clone(), size()).prop_map(|(subject, size)| Send { subject, size }),
        6 => (size(), 0_u64..40).prop_map(|(size, deadline_ms)| Request { size, deadline_ms }),
        2 => pick.clone().prop_map(|pick| Cancel { pick }),
        6 => (pick.clone(), size(), any::<bool>())
            .prop_map(|(pick, size, fails)| Answer { pick, size, fails }),
        3 => subject.prop_map(|subject| Release { subject }),
        2 => Just(Open),
        6 => (pick.clone(), size()).prop_map(|(pick, size)| Data { pick, size }),
        2 => pick.clone().prop_map(|pick| Finish { pick }),
        1 => pick.clone().prop_map(|pick| Reset { pick }),
        3 => pick.prop_map(|pick| Consume { pick }),
        8 => prop_oneof![0_usize..300, 0_usize..200_000].prop_map(|bytes| Deliver { bytes }),
        2 => (0_u64..30).prop_map(|millis| Advance { millis }),
    ]
}

pub(crate) fn limits() -> Limits {
    Limits {
        message_bytes_max: 300_000,
        subject_window_bytes: 300_000,
        stream_window_bytes: 400_000,
        assembly_bytes_max: 400_000,
        streams_max: 4,
        output_bytes_high: 150_000,
        output_bytes_low: 50_000,
        ..Limits::default()
    }
}

pub(crate) fn operations() -> impl Strategy<Value = Vec<(usize, Operation)>> {
    prop::collection::vec((0_usize..2, operation()), 1..120)
}
