//! HELLO: what each side tells the other first.

use crate::codec::Reader;
use crate::error::{Error, Reason};
use crate::limits::*;

/// The version of ZT that is written here.
pub const VERSION: u16 = 1;

/// What a connection says of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the cluster, 1 to 255 bytes: both sides must have the same.
    pub cluster: String,
    /// The name of the node, 1 to 255 bytes.
    pub node_id: String,
    /// The address others can dial, at most 255 bytes, empty when there is none.
    pub advertise: String,
    /// What the node is for, at most [`ROLES_MAX`] of 1 to [`ROLE_BYTES_MAX`] bytes.
    pub roles: Vec<String>,
    /// What this side tolerates.
    pub limits: Limits,
}

/// What the peer said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest version of ZT that the peer speaks.
    pub version_min: u16,
    /// The newest version of ZT that the peer speaks.
    pub version: u16,
    /// The name of its cluster.
    pub cluster: String,
    /// The name of its node.
    pub node_id: String,
    /// The address it can be dialled at, empty when there is none.
    pub advertise: String,
    /// Bytes of a message it takes.
    pub message_bytes_max: u32,
    /// Requests it takes before it has answered one.
    pub request_window_count: u32,
    /// Their bytes.
    pub request_window_bytes: u64,
    /// Subjects it takes.
    pub subjects_max: u32,
    /// One-way messages of a subject it takes before it has consumed one.
    pub subject_window_count: u32,
    /// Their bytes.
    pub subject_window_bytes: u64,
    /// Streams it lets us have open.
    pub streams_max: u32,
    /// Messages of a stream it takes before it has consumed one.
    pub stream_window_count: u32,
    /// Their bytes.
    pub stream_window_bytes: u64,
    /// Bytes of unfinished messages it takes.
    pub assembly_bytes_max: u64,
    /// Bytes of metadata it takes with one message.
    pub metadata_bytes_max: u32,
    /// Silence after which it takes us for dead.
    pub liveness_timeout_ms: u32,
    /// One bit for each thing it can do beyond ZT/1.
    pub capabilities: u64,
    /// What its node is for.
    pub roles: Vec<String>,
}

/// The tags of HELLO's fields (W-9); they ascend.
mod tag {
    pub(super) const VERSIONS: u16 = 1;
    pub(super) const CLUSTER: u16 = 2;
    pub(super) const NODE_ID: u16 = 3;
    pub(super) const ADVERTISE: u16 = 4;
    pub(super) const MESSAGE: u16 = 5;
    pub(super) const REQUESTS: u16 = 6;
    pub(super) const SUBJECTS: u16 = 7;
    pub(super) const STREAMS: u16 = 8;
    pub(super) const ASSEMBLY: u16 = 9;
    pub(super) const METADATA: u16 = 10;
    pub(super) const LIVENESS: u16 = 11;
    pub(super) const CAPABILITIES: u16 = 12;
    pub(super) const ROLES: u16 = 13;
}

impl Hello {
    /// What holds for a peer before its HELLO has come (W-11).
    #[must_use]
    pub fn initial() -> Self {
        Self {
            version_min: VERSION,
            version: VERSION,
            cluster: String::new(),
            node_id: String::new(),
            advertise: String::new(),
            message_bytes_max: MESSAGE_BYTES_INITIAL,
            request_window_count: REQUEST_WINDOW_COUNT_INITIAL,
            request_window_bytes: REQUEST_WINDOW_BYTES_INITIAL,
            subjects_max: SUBJECTS_INITIAL,
            subject_window_count: SUBJECT_WINDOW_COUNT_INITIAL,
            subject_window_bytes: SUBJECT_WINDOW_BYTES_INITIAL,
            streams_max: STREAMS_INITIAL,
            stream_window_count: STREAM_WINDOW_COUNT_INITIAL,
            stream_window_bytes: STREAM_WINDOW_BYTES_INITIAL,
            assembly_bytes_max: ASSEMBLY_BYTES_INITIAL,
            metadata_bytes_max: METADATA_BYTES_INITIAL,
            liveness_timeout_ms: TIMEOUT_MS_CEILING,
            capabilities: 0,
            roles: Vec::new(),
        }
    }

    /// The window for requests.
    #[must_use]
    pub const fn request_window(&self) -> Window {
        Window {
            count: self.request_window_count,
            bytes: self.request_window_bytes,
        }
    }

    /// The window of each subject.
    #[must_use]
    pub const fn subject_window(&self) -> Window {
        Window {
            count: self.subject_window_count,
            bytes: self.subject_window_bytes,
        }
    }

    /// The window of each stream.
    #[must_use]
    pub const fn stream_window(&self) -> Window {
        Window {
            count: self.stream_window_count,
            bytes: self.stream_window_bytes,
        }
    }

    /// Reads the body of HELLO. Unknown fields are skipped; known fields that are missing keep
    /// their initial values, but versions, cluster and node id must be there.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        if body.len() > HELLO_BYTES_MAX {
            return Err(bad("HELLO is longer than 4 KiB"));
        }
        let mut hello = Self {
            version: 0,
            ..Self::initial()
        };
        let mut reader = Reader::new(body);
        let mut last = 0;
        while !reader.rest().is_empty() {
            let (tag, value) = field(&mut reader).ok_or_else(|| bad("a field of HELLO is cut"))?;
            if tag <= last {
                return Err(bad("the fields of HELLO do not ascend"));
            }
            last = tag;
            hello.set(tag, value)?;
        }
        hello.check()
    }

    fn set(&mut self, tag: u16, value: &[u8]) -> Result<(), Error> {
        let mut reader = Reader::new(value);
        self.set_field(tag, &mut reader)
            .ok_or_else(|| bad("a field of HELLO is malformed"))?;
        let known = (tag::VERSIONS..=tag::ROLES).contains(&tag);
        if known && !reader.rest().is_empty() {
            return Err(bad("a field of HELLO is too long"));
        }
        Ok(())
    }

    fn set_field(&mut self, tag: u16, value: &mut Reader<'_>) -> Option<()> {
        match tag {
            tag::VERSIONS => (self.version_min, self.version) = (value.u16()?, value.u16()?),
            tag::CLUSTER => self.cluster = name(value)?,
            tag::NODE_ID => self.node_id = name(value)?,
            tag::ADVERTISE => self.advertise = name(value)?,
            tag::MESSAGE => self.message_bytes_max = value.u32()?,
            tag::REQUESTS => self.set_requests(value.u32()?, value.u64()?),
            tag::SUBJECTS => self.set_subjects(value.u32()?, value.u32()?, value.u64()?),
            tag::STREAMS => self.set_streams(value.u32()?, value.u32()?, value.u64()?),
            tag::ASSEMBLY => self.assembly_bytes_max = value.u64()?,
            tag::METADATA => self.metadata_bytes_max = value.u32()?,
            tag::LIVENESS => self.liveness_timeout_ms = value.u32()?,
            tag::CAPABILITIES => self.capabilities = value.u64()?,
            tag::ROLES => self.roles = roles(value)?,
            _ => {}
        }
        Some(())
    }

    fn set_requests(&mut self, count: u32, bytes: u64) {
        (self.request_window_count, self.request_window_bytes) = (count, bytes);
    }

    fn set_subjects(&mut self, subjects: u32, count: u32, bytes: u64) {
        self.subjects_max = subjects;
        (self.subject_window_count, self.subject_window_bytes) = (count, bytes);
    }

    fn set_streams(&mut self, streams: u32, count: u32, bytes: u64) {
        self.streams_max = streams;
        (self.stream_window_count, self.stream_window_bytes) = (count, bytes);
    }

    fn check(mut self) -> Result<Self, Error> {
        if self.assembly_bytes_max == ASSEMBLY_BYTES_INITIAL {
            self.assembly_bytes_max = self.message_bytes_max.into();
        }
        if self.version == 0 || self.cluster.is_empty() || self.node_id.is_empty() {
            return Err(bad("HELLO has no versions, no cluster or no node id"));
        }
        if !(self.version_min..=self.version).contains(&VERSION) {
            return Err(Error::new(
                Reason::BadVersion,
                "no version is spoken by both sides",
            ));
        }
        match self.limits().validate() {
            Ok(()) => Ok(self),
            Err(out) => Err(Error::new(Reason::BadHello, out.to_string())),
        }
    }

    /// The peer's limits, as far as it tells them.
    fn limits(&self) -> Limits {
        let defaults = Limits::default();
        Limits {
            message_bytes_max: self.message_bytes_max,
            request_window_count: self.request_window_count,
            request_window_bytes: self.request_window_bytes,
            subjects_max: self.subjects_max,
            subject_window_count: self.subject_window_count,
            subject_window_bytes: self.subject_window_bytes,
            streams_max: self.streams_max,
            stream_window_count: self.stream_window_count,
            stream_window_bytes: self.stream_window_bytes,
            assembly_bytes_max: self.assembly_bytes_max,
            metadata_bytes_max: self.metadata_bytes_max,
            ping_interval_ms: self.liveness_timeout_ms / 3,
            liveness_timeout_ms: self.liveness_timeout_ms,
            ..defaults
        }
    }
}

fn bad(detail: &'static str) -> Error {
    Error::new(Reason::BadHello, detail)
}

fn field<'a>(reader: &mut Reader<'a>) -> Option<(u16, &'a [u8])> {
    let (tag, length) = (reader.u16()?, reader.u16()?);
    Some((tag, reader.bytes(length.into())?))
}

fn name(value: &mut Reader<'_>) -> Option<String> {
    let bytes = value.bytes(value.rest().len())?;
    let name = str::from_utf8(bytes).ok()?;
    (name.len() <= NAME_BYTES_MAX).then(|| name.to_owned())
}

fn roles(value: &mut Reader<'_>) -> Option<Vec<String>> {
    let mut roles = Vec::new();
    while let Some(length) = value.u8() {
        let role = str::from_utf8(value.bytes(length.into())?).ok()?;
        roles.push(role.to_owned());
    }
    are_roles(&roles).then_some(roles)
}

/// Whether a node may say that it has these roles.
#[must_use]
pub fn are_roles(roles: &[String]) -> bool {
    let fits = |role: &String| (1..=ROLE_BYTES_MAX).contains(&role.len());
    roles.len() <= ROLES_MAX && roles.iter().all(fits)
}

/// Writes the body of HELLO for `settings`. Names longer than 255 bytes are the caller's mistake
/// and are refused by the peer.
#[must_use]
pub fn encode(settings: &Settings) -> Vec<u8> {
    let Settings {
        cluster,
        node_id,
        advertise,
        roles,
        limits,
    } = settings;
    let mut body = Vec::with_capacity(192 + cluster.len() + node_id.len() + advertise.len());
    let version = VERSION.to_le_bytes();
    put(&mut body, tag::VERSIONS, &[&version, &version]);
    put(&mut body, tag::CLUSTER, &[cluster.as_bytes()]);
    put(&mut body, tag::NODE_ID, &[node_id.as_bytes()]);
    put(&mut body, tag::ADVERTISE, &[advertise.as_bytes()]);
    put_limits(&mut body, limits);
    put_roles(&mut body, roles);
    body
}

#[rustfmt::skip]
fn put_limits(body: &mut Vec<u8>, limits: &Limits) {
    let four = u32::to_le_bytes;
    let eight = u64::to_le_bytes;
    put(body, tag::MESSAGE, &[&four(limits.message_bytes_max)]);
    put(body, tag::REQUESTS, &[&four(limits.request_window_count), &eight(limits.request_window_bytes)]);
    put(body, tag::SUBJECTS, &[&four(limits.subjects_max), &four(limits.subject_window_count), &eight(limits.subject_window_bytes)]);
    put(body, tag::STREAMS, &[&four(limits.streams_max), &four(limits.stream_window_count), &eight(limits.stream_window_bytes)]);
    put(body, tag::ASSEMBLY, &[&eight(limits.assembly_bytes_max)]);
    put(body, tag::METADATA, &[&four(limits.metadata_bytes_max)]);
    put(body, tag::LIVENESS, &[&four(limits.liveness_timeout_ms)]);
    put(body, tag::CAPABILITIES, &[&eight(0)]);
}

fn put_roles(body: &mut Vec<u8>, roles: &[String]) {
    let mut value = Vec::new();
    for role in roles {
        value.push(role.len() as u8);
        value.extend_from_slice(role.as_bytes());
    }
    if !roles.is_empty() {
        put(body, tag::ROLES, &[&value]);
    }
}

fn put(body: &mut Vec<u8>, tag: u16, values: &[&[u8]]) {
    let length: usize = values.iter().map(|value| value.len()).sum();
    body.extend_from_slice(&tag.to_le_bytes());
    body.extend_from_slice(&(length as u16).to_le_bytes());
    values
        .iter()
        .for_each(|value| body.extend_from_slice(value));
}
