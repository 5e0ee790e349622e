//! The way out: records queued in a rustls connection, counted in bytes and per key.

use std::io::{self, Write};

use rustls::Connection;

use crate::error::Error;

/// Most plaintext one record carries, in bytes (RFC 8446 section 5.1).
pub const RECORD_PLAINTEXT_BYTES_MAX: usize = 1 << 14;

/// What sealing adds to a record, in bytes: header, inner content type and tag.
pub const RECORD_OVERHEAD_BYTES: usize = 5 + 1 + 16;

/// A sealed KeyUpdate: a handshake header and one byte.
const KEY_UPDATE_BYTES: usize = RECORD_OVERHEAD_BYTES + 5;

/// A sealed alert: level and description.
const ALERT_BYTES: usize = RECORD_OVERHEAD_BYTES + 2;

/// Seals, and keeps the count of what waits: rustls itself would walk its queue to tell.
#[derive(Debug)]
pub(crate) struct Sealing {
    rekey_records: u64,
    /// Records sealed under the present key, 0 to `rekey_records`.
    sealed_records: u64,
    /// Bytes queued, right to within a KeyUpdate or an alert.
    queued: usize,
}

impl Sealing {
    /// `rekey_records` is at least 1.
    pub(crate) fn new(rekey_records: u64) -> Self {
        Self {
            rekey_records,
            sealed_records: 0,
            queued: 0,
        }
    }

    /// Seals and queues all of `plain`, replacing the key whenever it is used up.
    pub(crate) fn seal(
        &mut self,
        connection: &mut Connection,
        mut plain: &[u8],
    ) -> Result<(), Error> {
        while !plain.is_empty() {
            let left = self.rekey_records - self.sealed_records;
            if left == 0 {
                self.replace_key(connection)?;
                continue;
            }
            let room = usize::try_from(left).unwrap_or(usize::MAX);
            let bytes = room.saturating_mul(RECORD_PLAINTEXT_BYTES_MAX);
            let (now, later) = plain.split_at(bytes.min(plain.len()));
            self.seal_under_one_key(connection, now)?;
            plain = later;
        }
        Ok(())
    }

    fn seal_under_one_key(
        &mut self,
        connection: &mut Connection,
        plain: &[u8],
    ) -> Result<(), Error> {
        let written = connection.writer().write_all(plain);
        written.map_err(Error::protocol)?;
        let records = plain.len().div_ceil(RECORD_PLAINTEXT_BYTES_MAX);
        self.sealed_records += records as u64;
        self.queued += plain.len() + records * RECORD_OVERHEAD_BYTES;
        Ok(())
    }

    fn replace_key(&mut self, connection: &mut Connection) -> Result<(), Error> {
        connection.refresh_traffic_keys()?;
        self.sealed_records = 0;
        self.queued += KEY_UPDATE_BYTES;
        Ok(())
    }

    /// Queues `close_notify`.
    pub(crate) fn close(&mut self, connection: &mut Connection) {
        connection.send_close_notify();
        self.queued += ALERT_BYTES;
    }

    /// Takes the exact count, which rustls tells after it has processed input.
    pub(crate) fn set_queued(&mut self, bytes: usize) {
        self.queued = bytes;
    }

    /// Zero exactly when nothing is queued.
    pub(crate) fn queued(&self, connection: &Connection) -> usize {
        match connection.wants_write() {
            true => self.queued.max(1),
            false => 0,
        }
    }

    /// Writes queued bytes once.
    pub(crate) fn write_to(
        &mut self,
        connection: &mut Connection,
        io: &mut dyn Write,
    ) -> io::Result<usize> {
        let written = connection.write_tls(io)?;
        self.queued = self.queued.saturating_sub(written);
        Ok(written)
    }
}
