//! One connection's TLS, between ciphertext and plaintext.

use std::io::{self, Write};
use std::sync::Arc;
use std::{fmt, mem};

use rustls::pki_types::ServerName;
use rustls::server::Acceptor;
use rustls::{ClientConnection, Connection};

use crate::config::{ALPN_PROTOCOL, Alpn};
use crate::error::{Error, ErrorKind};
use crate::framing::Framing;
use crate::hello::{self, Refusal};
use crate::material::Material;
use crate::plaintext::take_plaintext;
use crate::sealing::Sealing;
use crate::session::Session;
use crate::verdict;

/// Most records in a row that may open to no plaintext once the handshake is over. KeyUpdates and
/// empty records cost their receiver work and bring nothing.
pub const BLANK_RECORDS_MAX: u32 = 32;

/// Most plaintext kept for sealing until the handshake is over, in bytes.
pub const EARLY_BYTES_MAX: usize = 4 << 20;

/// One connection's encryption.
///
/// The driver reads a socket into [`handle_input`](Self::handle_input), and after every call writes
/// with [`write_to`](Self::write_to) while [`pending_bytes`](Self::pending_bytes) is not zero:
/// handshake messages and alerts leave that way too. When the socket ends it calls
/// [`handle_end`](Self::handle_end).
///
/// The first error is final: every later call that can fail returns it again.
pub struct Filter {
    pub(crate) stage: Stage,
    pub(crate) material: Arc<Material>,
    alpn: Alpn,
    framing: Framing,
    /// Leading bytes of the stream found to be a TLS record's, 0 to 2.
    recognised: usize,
    established: bool,
    closing: bool,
    peer_has_closed: bool,
    /// Plaintext to be sealed once the handshake is over.
    early: Vec<u8>,
    /// Clear alerts, written when there is no rustls connection to write them.
    clear: Vec<u8>,
    sealing: Sealing,
    /// Records without plaintext in a row, 0 to [`BLANK_RECORDS_MAX`].
    blank_records: u32,
    failure: Option<Error>,
}

pub(crate) enum Stage {
    /// A listener waiting for the whole ClientHello.
    Accepting(Box<Acceptor>),
    /// From ClientHello on.
    Open(Box<Connection>),
    /// A listener that refused the ClientHello.
    Refused,
}

impl Filter {
    /// Starts a connection to `host`, a DNS name or an IP address without port; it is what the
    /// listener's certificate must be for. The ClientHello is ready to be written at once.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if `host` is neither.
    pub fn dial(material: &Arc<Material>, host: &str) -> Result<Self, Error> {
        Self::dial_with(material, host, Alpn::Expected)
    }

    /// The same, with a choice of ALPN.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if `host` is neither a DNS name nor an IP address.
    pub fn dial_with(material: &Arc<Material>, host: &str, alpn: Alpn) -> Result<Self, Error> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::configuration(host, "is neither a DNS name nor an IP address"))?;
        let config = match alpn {
            Alpn::Expected => &material.client,
            Alpn::MayBeAbsent => &material.client_without_alpn,
        };
        let connection = ClientConnection::new(config.clone(), name)?;
        let mut filter = Self::new(material, alpn, Stage::Refused);
        filter.open(connection.into())?;
        Ok(filter)
    }

    /// Takes part as the listener. A material that cannot listen fails on the first input.
    pub fn accept(material: &Arc<Material>) -> Self {
        Self::accept_with(material, Alpn::Expected)
    }

    /// The same, with a choice of ALPN.
    pub fn accept_with(material: &Arc<Material>, alpn: Alpn) -> Self {
        Self::new(material, alpn, Stage::Accepting(Box::default()))
    }

    fn new(material: &Arc<Material>, alpn: Alpn, stage: Stage) -> Self {
        Self {
            stage,
            material: material.clone(),
            alpn,
            framing: Framing::default(),
            recognised: 0,
            established: false,
            closing: false,
            peer_has_closed: false,
            early: Vec::new(),
            clear: Vec::new(),
            sealing: Sealing::new(material.rekey_records),
            blank_records: 0,
            failure: None,
        }
    }

    /// Takes all of `cipher` and appends what it opens to, to `plain`. Input that follows the
    /// peer's `close_notify` is ignored (RFC 8446 section 6.1).
    ///
    /// # Errors
    /// Why the connection cannot go on. `plain` keeps what was opened before, and an alert may be
    /// waiting to be written.
    pub fn handle_input(&mut self, cipher: &[u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        self.check_failure()?;
        self.open_records(cipher, plain)
            .inspect_err(|error| self.failure = Some(error.clone()))
    }

    /// Takes the end of the socket's stream.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] unless the peer sent `close_notify` first, or the error the
    /// connection had failed with.
    pub fn handle_end(&mut self) -> Result<(), Error> {
        self.check_failure()?;
        if self.peer_has_closed {
            return Ok(());
        }
        let error = Error::from(ErrorKind::Truncated);
        self.failure = Some(error.clone());
        Err(error)
    }

    /// Seals `plain` into records and queues them. One call with much is cheaper than many with
    /// little: every call begins a new record. Before the handshake is over the bytes are kept,
    /// up to [`EARLY_BYTES_MAX`], and sealed as soon as it is. The key is replaced when due.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] after [`close`](Self::close), [`ErrorKind::EarlyBytesExceeded`], or
    /// the error the connection had failed with. Nothing of `plain` is taken then.
    pub fn seal(&mut self, plain: &[u8]) -> Result<(), Error> {
        self.check_failure()?;
        if self.closing {
            return Err(ErrorKind::Closed.into());
        }
        if let (true, Stage::Open(connection)) = (self.established, &mut self.stage) {
            return self.sealing.seal(connection, plain);
        }
        if self.early.len() + plain.len() > EARLY_BYTES_MAX {
            return Err(ErrorKind::EarlyBytesExceeded.into());
        }
        self.early.extend_from_slice(plain);
        Ok(())
    }

    /// Writes queued bytes with one vectored write; returns how many were taken, 0 if none wait.
    ///
    /// # Errors
    /// Those of `io`; nothing is lost then.
    pub fn write_to(&mut self, io: &mut dyn Write) -> io::Result<usize> {
        match &mut self.stage {
            Stage::Open(connection) => self.sealing.write_to(connection, io),
            _ if self.clear.is_empty() => Ok(0),
            _ => {
                let written = io.write(&self.clear)?;
                self.clear.drain(..written);
                Ok(written)
            }
        }
    }

    /// Bytes that wait to be written: zero exactly when there are none, otherwise right to within
    /// one alert or KeyUpdate.
    pub fn pending_bytes(&self) -> usize {
        match &self.stage {
            Stage::Open(connection) => self.sealing.queued(connection),
            _ => self.clear.len(),
        }
    }

    /// Whether the handshake is still under way, the peer's certificate included.
    pub fn is_handshaking(&self) -> bool {
        !self.established
    }

    /// Whether the peer's `close_notify` has arrived: it will send nothing more.
    pub fn peer_has_closed(&self) -> bool {
        self.peer_has_closed
    }

    /// Queues `close_notify`, behind what was sealed before. Plaintext still kept for the end of
    /// the handshake is dropped. The peer may go on sending.
    pub fn close(&mut self) {
        if mem::replace(&mut self.closing, true) || self.failure.is_some() {
            return;
        }
        self.early = Vec::new();
        match &mut self.stage {
            Stage::Open(connection) => self.sealing.close(connection),
            _ => self.stage = Stage::Refused,
        }
    }

    /// Ends a listener's part in a handshake that takes too long. A dialer that has not been
    /// answered is told by an alert; one that has sees `close_notify` in place of a greeting, for
    /// which the caller closes.
    pub fn give_up(&mut self) {
        if let Stage::Accepting(_) = self.stage {
            self.failure = Some(self.refuse(Refusal::timeout()));
        }
    }

    /// Whether the handshake agreed on `zt/1`.
    pub fn is_alpn_agreed(&self) -> bool {
        match &self.stage {
            Stage::Open(connection) => connection.alpn_protocol() == Some(ALPN_PROTOCOL),
            _ => false,
        }
    }

    /// What the handshake agreed on; `None` before it is over.
    pub fn session(&self) -> Option<Session> {
        match &self.stage {
            Stage::Open(connection) if self.established => Session::read(connection),
            _ => None,
        }
    }

    fn check_failure(&self) -> Result<(), Error> {
        self.failure.clone().map_or(Ok(()), Err)
    }
}

/// The way in.
impl Filter {
    fn open_records(&mut self, mut cipher: &[u8], plain: &mut Vec<u8>) -> Result<(), Error> {
        self.recognise(cipher)?;
        while !cipher.is_empty() && !self.peer_has_closed {
            let (taken, complete) = self.framing.advance(cipher);
            let (record, rest) = cipher.split_at(taken);
            self.feed(record)?;
            // A part is shown to rustls too, when there is no more: it may be refused already.
            if complete || rest.is_empty() {
                self.process(complete, plain)?;
            }
            cipher = rest;
        }
        Ok(())
    }

    /// Any TLS record begins with a content type of 20 to 23 and a version of 3.x.
    fn recognise(&mut self, cipher: &[u8]) -> Result<(), Error> {
        for byte in cipher.iter().take(2 - self.recognised) {
            let is_tls = match self.recognised {
                0 => (20..=23).contains(byte),
                _ => *byte == 3,
            };
            if !is_tls {
                return Err(self.refuse_plaintext());
            }
            self.recognised += 1;
        }
        Ok(())
    }

    /// A listener says so with an alert; a dialer, which has spoken already, ends in silence.
    fn refuse_plaintext(&mut self) -> Error {
        match self.stage {
            Stage::Accepting(_) => self.refuse(Refusal::plaintext()),
            _ => ErrorKind::PlaintextPeer.into(),
        }
    }

    fn process_hello(&mut self) -> Result<(), Error> {
        let Stage::Accepting(acceptor) = &mut self.stage else {
            return Ok(());
        };
        let may_be_absent = self.material.accept_absent_alpn || self.alpn == Alpn::MayBeAbsent;
        match hello::answer(acceptor, &self.material, may_be_absent) {
            Ok(None) => Ok(()),
            Ok(Some(connection)) => self.open(connection),
            Err(refusal) => Err(self.refuse(refusal)),
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Error {
        self.stage = Stage::Refused;
        self.clear = refusal.alert;
        refusal.error
    }

    fn open(&mut self, mut connection: Connection) -> Result<(), Error> {
        // The driver bounds what it seals; a limit here would cut a message short.
        connection.set_buffer_limit(None);
        let state = connection.process_new_packets()?;
        self.sealing.set_queued(state.tls_bytes_to_write());
        self.stage = Stage::Open(Box::new(connection));
        Ok(())
    }

    fn feed(&mut self, mut record: &[u8]) -> Result<(), Error> {
        while !record.is_empty() {
            let taken = match &mut self.stage {
                Stage::Accepting(acceptor) => acceptor.read_tls(&mut record),
                Stage::Open(connection) => connection.read_tls(&mut record),
                Stage::Refused => Ok(0),
            };
            // The only errors are rustls' own limits on unprocessed bytes: `record` is memory.
            if taken.map_err(Error::protocol)? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn process(&mut self, complete: bool, plain: &mut Vec<u8>) -> Result<(), Error> {
        if matches!(self.stage, Stage::Accepting(_)) {
            return self.process_hello();
        }
        let Stage::Open(connection) = &mut self.stage else {
            return Ok(());
        };
        let processed = connection.process_new_packets();
        let state = processed.map_err(verdict::take)?;
        self.sealing.set_queued(state.tls_bytes_to_write());
        self.peer_has_closed = state.peer_has_closed();
        if state.plaintext_bytes_to_read() > 0 {
            self.blank_records = 0;
            return take_plaintext(connection, plain);
        }
        // Only a record of its own ends a handshake, so this one holds no plaintext.
        match self.established {
            false if !connection.is_handshaking() => self.establish(),
            true if complete && !self.peer_has_closed => self.count_blank_record(),
            _ => Ok(()),
        }
    }

    fn count_blank_record(&mut self) -> Result<(), Error> {
        self.blank_records += 1;
        if self.blank_records > BLANK_RECORDS_MAX {
            let detail = format!("more than {BLANK_RECORDS_MAX} records in a row without data");
            return Err(Error::protocol(detail));
        }
        Ok(())
    }

    fn establish(&mut self) -> Result<(), Error> {
        let Stage::Open(connection) = &mut self.stage else {
            return Ok(());
        };
        let is_dialer = matches!(**connection, Connection::Client(_));
        let is_required = self.material.require_alpn && self.alpn == Alpn::Expected;
        if is_dialer && is_required && connection.alpn_protocol() != Some(ALPN_PROTOCOL) {
            self.sealing.close(connection);
            return Err(ErrorKind::ALPNRefused.into());
        }
        self.established = true;
        let early = mem::take(&mut self.early);
        self.sealing.seal(connection, &early)
    }
}

impl fmt::Debug for Filter {
    /// Says nothing of keys or data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("is_handshaking", &self.is_handshaking())
            .field("peer_has_closed", &self.peer_has_closed)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}
