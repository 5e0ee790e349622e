//! Every bound of the protocol, and the part of them that a node configures.

use std::fmt;

/// Bytes of the preface.
pub const PREFACE_BYTES: usize = 8;
/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 16;
/// Payload bytes of one fragment at most.
pub const FRAGMENT_BYTES_MAX: usize = 64 * 1024;
/// Payload bytes of a fragment that is not the last, at least: more frames would be noise.
pub const FRAGMENT_BYTES_MIN: usize = 4 * 1024;
/// Bytes of a metadata block at most.
pub const METADATA_BYTES_MAX: usize = 4 * 1024;
/// Bytes before payload and metadata at most: deadline, total and metadata length.
pub const FRAME_FIELDS_BYTES_MAX: usize = 64;
/// Bytes of a frame's body at most.
pub const FRAME_BODY_BYTES_MAX: usize =
    FRAGMENT_BYTES_MAX + METADATA_BYTES_MAX + FRAME_FIELDS_BYTES_MAX;
/// Bytes of a HELLO body at most.
pub const HELLO_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a cluster name, a node id or an advertised address at most.
pub const NAME_BYTES_MAX: usize = 255;
/// Roles of a node at most.
pub const ROLES_MAX: usize = 16;
/// Bytes of a role at most.
pub const ROLE_BYTES_MAX: usize = 64;
/// Bytes of a subject's name at most.
pub const SUBJECT_NAME_BYTES_MAX: usize = 255;
/// Bytes of the text of a fault, a reset or a GOAWAY at most; longer text is cut.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Bytes of `input` in one call at most, so that a span fits its fields.
pub const INPUT_BYTES_MAX: usize = u32::MAX as usize;

/// Bytes of a message at most before HELLO, and the least limit a node may have.
pub const MESSAGE_BYTES_INITIAL: u32 = FRAGMENT_BYTES_MAX as u32;
/// Bytes of a message that a node can be configured to take.
pub const MESSAGE_BYTES_CEILING: u32 = 1 << 30;
/// Requests in flight before HELLO, and the least window.
pub const REQUEST_WINDOW_COUNT_INITIAL: u32 = 64;
/// Requests in flight at most: a slot number has 16 bits.
pub const REQUEST_WINDOW_COUNT_CEILING: u32 = 1 << 16;
/// Bytes of requests in flight before HELLO, and the least window.
pub const REQUEST_WINDOW_BYTES_INITIAL: u64 = 1 << 20;
/// Subjects before HELLO, and the least limit.
pub const SUBJECTS_INITIAL: u32 = 16;
/// Subjects at most: 0 is no subject.
pub const SUBJECTS_CEILING: u32 = u16::MAX as u32;
/// Messages on a subject before HELLO, and the least window.
pub const SUBJECT_WINDOW_COUNT_INITIAL: u32 = 256;
/// Bytes on a subject before HELLO, and the least window.
pub const SUBJECT_WINDOW_BYTES_INITIAL: u64 = 256 * 1024;
/// Streams that one side has open before HELLO, and the least limit.
pub const STREAMS_INITIAL: u32 = 4;
/// Streams that one side has open at most: a slot number has 15 bits.
pub const STREAMS_CEILING: u32 = 1 << 15;
/// Messages on a stream before HELLO, and the least window.
pub const STREAM_WINDOW_COUNT_INITIAL: u32 = 64;
/// Bytes on a stream before HELLO, and the least window.
pub const STREAM_WINDOW_BYTES_INITIAL: u64 = 256 * 1024;
/// Bytes in unfinished messages before HELLO: none, as no message has two fragments.
pub const ASSEMBLY_BYTES_INITIAL: u64 = 0;
/// Bytes of metadata before HELLO, and the least limit.
pub const METADATA_BYTES_INITIAL: u32 = 1024;
/// Bytes of any window at most.
pub const WINDOW_BYTES_CEILING: u64 = 1 << 40;
/// The shortest silence after which a peer may be taken for dead.
pub const LIVENESS_TIMEOUT_MS_MIN: u32 = 100;
/// The longest of all configured times.
pub const TIMEOUT_MS_CEILING: u32 = 24 * 60 * 60 * 1_000;
/// Frames without content that every node tolerates at once.
pub const OVERHEAD_BURST_MIN: u32 = 1_000;
/// Frames without content that every node tolerates per second.
pub const OVERHEAD_PER_SECOND_MIN: u32 = 100;
/// Messages of more than one fragment that a sender has begun and not finished, at most.
pub const LANES_STARTED_MAX: usize = 16;
/// A call later than this after its deadline shows that the driver itself stood still.
pub const LATE_MS: u32 = 100;

/// Bytes of a Zeebe handshake.
pub const ZEEBE_HANDSHAKE_BYTES: usize = 6;
/// Bytes of a Zeebe subject at most, where it stands on the wire: its length has 15 bits.
pub const ZEEBE_SUBJECT_BYTES_MAX: usize = i16::MAX as usize;
/// Zeebe messages with more bytes than this are gathered in an allocation of their own while they
/// arrive; shorter ones wait in the input until they are whole.
pub const ZEEBE_GATHER_BYTES: usize = 16 * 1024;
/// Bytes that a compressed Zeebe stream is unpacked to before they are looked at.
pub const ZEEBE_UNPACK_BYTES: usize = 64 * 1024;
/// How much more a compressed Zeebe stream may hold than it has bytes, beyond one message.
pub const ZEEBE_UNPACK_RATIO_MAX: u64 = 100;
/// Our Zeebe requests without an answer at most: the protocol tells no window.
pub const ZEEBE_ASKED_COUNT_MAX: usize = 1 << 16;

/// Bytes given to the driver at once, unless one frame is longer.
pub const OUTPUT_CHUNK_BYTES: usize = 64 * 1024;
/// The output may be cut at least this often.
pub const OUTPUT_MARK_BYTES: usize = 32 * 1024;
/// Requests are refused above this multiple of the high-water mark.
pub const REQUEST_OUTPUT_FACTOR: usize = 4;

const _: () = {
    assert!(FRAGMENT_BYTES_MIN < FRAGMENT_BYTES_MAX);
    assert!(HELLO_BYTES_MAX < FRAME_BODY_BYTES_MAX);
    assert!(METADATA_BYTES_MAX <= u16::MAX as usize);
    assert!(4 + 4 + 2 <= FRAME_FIELDS_BYTES_MAX);
    assert!(2 + 1 + TEXT_BYTES_MAX < FRAME_BODY_BYTES_MAX);
    assert!(
        3 * (4 + NAME_BYTES_MAX) + 4 + ROLES_MAX * (1 + ROLE_BYTES_MAX) + 256 <= HELLO_BYTES_MAX
    );
    assert!(MESSAGE_BYTES_INITIAL as u64 <= REQUEST_WINDOW_BYTES_INITIAL);
    assert!(MESSAGE_BYTES_INITIAL as u64 <= SUBJECT_WINDOW_BYTES_INITIAL);
    assert!(MESSAGE_BYTES_INITIAL as u64 <= STREAM_WINDOW_BYTES_INITIAL);
    assert!(MESSAGE_BYTES_CEILING as u64 <= WINDOW_BYTES_CEILING);
    assert!(OUTPUT_MARK_BYTES <= OUTPUT_CHUNK_BYTES);
};

/// How much may be on its way or unconsumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Messages.
    pub count: u32,
    /// Their bytes, metadata included.
    pub bytes: u64,
}

/// What one connection tolerates and how long it waits. Counts and bytes of windows are told to
/// the peer in HELLO and bind what the peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message: 64 KiB to 1 GiB.
    pub message_bytes_max: u32,
    /// Requests of the peer that are not answered yet: 64 to 65,536.
    pub request_window_count: u32,
    /// Their bytes: at least `message_bytes_max` and 1 MiB.
    pub request_window_bytes: u64,
    /// Subjects the peer may announce: 16 to 65,535.
    pub subjects_max: u32,
    /// One-way messages of one subject that are not consumed yet: at least 256.
    pub subject_window_count: u32,
    /// Their bytes: at least `message_bytes_max` and 256 KiB. At twice `message_bytes_max` or
    /// more, credit is given back half a window at a time.
    pub subject_window_bytes: u64,
    /// Streams the peer may have open that it opened: 4 to 32,768.
    pub streams_max: u32,
    /// Messages of one stream that are not consumed yet: at least 64.
    pub stream_window_count: u32,
    /// Their bytes: as `subject_window_bytes`.
    pub stream_window_bytes: u64,
    /// Announced bytes of messages that have begun and not ended: at least `message_bytes_max`.
    pub assembly_bytes_max: u64,
    /// A frame or message that takes longer than this must keep `assembly_bytes_per_second_min`.
    pub assembly_grace_ms: u32,
    /// The least average rate of such a frame or message, in bytes per second: at least 1.
    pub assembly_bytes_per_second_min: u32,
    /// Bytes of metadata taken from the peer with one message: 1,024 to 4,096.
    pub metadata_bytes_max: u32,
    /// Output above which one-way and stream messages are refused.
    pub output_bytes_high: usize,
    /// Output at which they are taken again: below `output_bytes_high`.
    pub output_bytes_low: usize,
    /// Time from the start to the peer's HELLO.
    pub hello_timeout_ms: u32,
    /// Time between two pings.
    pub ping_interval_ms: u32,
    /// Silence after which the peer is taken for dead: at least twice `ping_interval_ms`.
    pub liveness_timeout_ms: u32,
    /// Frames without content the peer may send at once: at least 1,000.
    pub overhead_burst: u32,
    /// Frames without content the peer may send per second: at least 100.
    pub overhead_per_second: u32,
    /// Frames for unknown ids after which the connection ends.
    pub unknown_ids_max: u32,
    /// Bytes of a Zeebe message, both ways, as Zeebe's protocol tells no limits: 64 KiB to 1 GiB.
    pub zeebe_message_bytes_max: u32,
    /// Time between two heartbeats that a Zeebe dialer offers, 0 for none. A third of
    /// `liveness_timeout_ms`, the silence that ends such a connection, is used if that is shorter.
    pub zeebe_heartbeat_interval_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 4 << 20,
            request_window_count: 1_024,
            request_window_bytes: 16 << 20,
            subjects_max: 1_024,
            subject_window_count: 65_536,
            subject_window_bytes: 8 << 20,
            streams_max: 1_024,
            stream_window_count: 65_536,
            stream_window_bytes: 8 << 20,
            assembly_bytes_max: 64 << 20,
            assembly_grace_ms: 10_000,
            assembly_bytes_per_second_min: 4_096,
            metadata_bytes_max: METADATA_BYTES_MAX as u32,
            output_bytes_high: 1 << 20,
            output_bytes_low: 256 << 10,
            hello_timeout_ms: 2_000,
            ping_interval_ms: 5_000,
            liveness_timeout_ms: 15_000,
            overhead_burst: OVERHEAD_BURST_MIN,
            overhead_per_second: OVERHEAD_PER_SECOND_MIN,
            unknown_ids_max: 1_000,
            zeebe_message_bytes_max: 4 << 20,
            zeebe_heartbeat_interval_ms: 5_000,
        }
    }
}

/// A limit that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitOutOfRange {
    /// The field of [`Limits`].
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// The least value allowed beside the other limits.
    pub min: u64,
    /// The greatest value allowed beside the other limits.
    pub max: u64,
}

impl fmt::Display for LimitOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            value,
            min,
            max,
        } = self;
        write!(f, "{name} is {value}: choose {min} to {max}")
    }
}

impl std::error::Error for LimitOutOfRange {}

fn in_range(
    name: &'static str,
    value: impl Into<u64>,
    min: impl Into<u64>,
    max: impl Into<u64>,
) -> Result<(), LimitOutOfRange> {
    let (value, min, max) = (value.into(), min.into(), max.into());
    let fits = min <= value && value <= max;
    fits.then_some(()).ok_or(LimitOutOfRange {
        name,
        value,
        min,
        max,
    })
}

impl Limits {
    /// The window for requests.
    #[inline]
    #[must_use]
    pub const fn request_window(&self) -> Window {
        Window {
            count: self.request_window_count,
            bytes: self.request_window_bytes,
        }
    }

    /// The window of each subject.
    #[inline]
    #[must_use]
    pub const fn subject_window(&self) -> Window {
        Window {
            count: self.subject_window_count,
            bytes: self.subject_window_bytes,
        }
    }

    /// The window of each stream.
    #[inline]
    #[must_use]
    pub const fn stream_window(&self) -> Window {
        Window {
            count: self.stream_window_count,
            bytes: self.stream_window_bytes,
        }
    }

    /// Checks every limit and their relations; the first that is out of range is told.
    pub fn validate(&self) -> Result<(), LimitOutOfRange> {
        self.validate_windows()?;
        self.validate_output()?;
        self.validate_times()?;
        self.validate_tolerance()
    }

    #[rustfmt::skip]
    fn validate_windows(&self) -> Result<(), LimitOutOfRange> {
        let message = u64::from(self.message_bytes_max);
        let bytes = |name, value: u64, initial: u64| in_range(name, value, initial.max(message), WINDOW_BYTES_CEILING);
        in_range("message_bytes_max", message, MESSAGE_BYTES_INITIAL, MESSAGE_BYTES_CEILING)?;
        in_range("zeebe_message_bytes_max", self.zeebe_message_bytes_max, MESSAGE_BYTES_INITIAL, MESSAGE_BYTES_CEILING)?;
        in_range("request_window_count", self.request_window_count, REQUEST_WINDOW_COUNT_INITIAL, REQUEST_WINDOW_COUNT_CEILING)?;
        in_range("subjects_max", self.subjects_max, SUBJECTS_INITIAL, SUBJECTS_CEILING)?;
        in_range("subject_window_count", self.subject_window_count, SUBJECT_WINDOW_COUNT_INITIAL, u32::MAX)?;
        in_range("streams_max", self.streams_max, STREAMS_INITIAL, STREAMS_CEILING)?;
        in_range("stream_window_count", self.stream_window_count, STREAM_WINDOW_COUNT_INITIAL, u32::MAX)?;
        in_range("metadata_bytes_max", self.metadata_bytes_max, METADATA_BYTES_INITIAL, METADATA_BYTES_MAX as u64)?;
        bytes("request_window_bytes", self.request_window_bytes, REQUEST_WINDOW_BYTES_INITIAL)?;
        bytes("subject_window_bytes", self.subject_window_bytes, SUBJECT_WINDOW_BYTES_INITIAL)?;
        bytes("stream_window_bytes", self.stream_window_bytes, STREAM_WINDOW_BYTES_INITIAL)?;
        bytes("assembly_bytes_max", self.assembly_bytes_max, ASSEMBLY_BYTES_INITIAL)
    }

    fn validate_output(&self) -> Result<(), LimitOutOfRange> {
        let (high, low) = (self.output_bytes_high as u64, self.output_bytes_low as u64);
        in_range("output_bytes_high", high, 1_u64, WINDOW_BYTES_CEILING)?;
        in_range("output_bytes_low", low, 0_u64, high - 1)
    }

    #[rustfmt::skip]
    fn validate_times(&self) -> Result<(), LimitOutOfRange> {
        let liveness = self.liveness_timeout_ms;
        in_range("hello_timeout_ms", self.hello_timeout_ms, 1_u32, TIMEOUT_MS_CEILING)?;
        in_range("liveness_timeout_ms", liveness, LIVENESS_TIMEOUT_MS_MIN, TIMEOUT_MS_CEILING)?;
        in_range("ping_interval_ms", self.ping_interval_ms, LIVENESS_TIMEOUT_MS_MIN / 4, liveness / 2)?;
        in_range("zeebe_heartbeat_interval_ms", self.zeebe_heartbeat_interval_ms, 0_u32, TIMEOUT_MS_CEILING)?;
        in_range("assembly_grace_ms", self.assembly_grace_ms, 1_u32, TIMEOUT_MS_CEILING)
    }

    #[rustfmt::skip]
    fn validate_tolerance(&self) -> Result<(), LimitOutOfRange> {
        in_range("assembly_bytes_per_second_min", self.assembly_bytes_per_second_min, 1_u32, u32::MAX)?;
        in_range("overhead_burst", self.overhead_burst, OVERHEAD_BURST_MIN, u32::MAX)?;
        in_range("overhead_per_second", self.overhead_per_second, OVERHEAD_PER_SECOND_MIN, u32::MAX)?;
        in_range("unknown_ids_max", self.unknown_ids_max, 1_u32, u32::MAX)
    }
}
