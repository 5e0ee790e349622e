//! TLS 1.3 as a byte filter.
//!
//! A [`Filter`] is one connection's encryption and nothing else: ciphertext read from a socket goes
//! into [`Filter::handle_input`] and comes out as plaintext, plaintext goes into [`Filter::seal`]
//! and leaves through [`Filter::write_to`]. The filter owns no socket, clock or thread; whoever
//! drives it decides when to read, when to write and how long to wait.
//!
//! [`Material`] is what connections share: certificate chain, key, trust and the choices of
//! [`Options`], read and checked once. Every failure is an [`Error`] whose [`ErrorKind`] says what
//! happened and whose [`Fault`] says on which side.
//!
//! Fixed, whatever the options: TLS 1.3 and no other version, ALPN `zt/1`, no session resumption,
//! no early data, no key log, and an end without `close_notify` is an error.

#![forbid(unsafe_code)]

mod error;

mod config;

mod source;

mod pem;

mod private_key;

mod certificates;

mod certificate;

mod weakness;

mod signed;

mod identity;

mod profile;

mod keys;

mod anchors;

mod revocation;

mod path;

mod verdict;

mod verify;

mod material;

mod session;

mod framing;

mod hello;

mod plaintext;
mod sealing;

mod filter;

mod standing;

pub use config::{
    ALPN_PROTOCOL, Alpn, CHAIN_CERTIFICATES_MAX, CHAIN_NAMESAKES_MAX, ClientAuth, Options,
    Password, Profile, REKEY_RECORDS_DEFAULT, REKEY_RECORDS_MAX, SOURCE_BYTES_MAX, Source,
    TrustSource,
};
pub use error::{Error, ErrorKind, Fault};
pub use filter::{BLANK_RECORDS_MAX, EARLY_BYTES_MAX, Filter};
pub use material::Material;
pub use sealing::{RECORD_OVERHEAD_BYTES, RECORD_PLAINTEXT_BYTES_MAX};
pub use session::{Identity, Session};
