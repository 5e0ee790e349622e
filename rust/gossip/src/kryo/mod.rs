//! The part of Kryo 5 that members of a Zeebe cluster speak to each other: records of members, pairs
//! and lists of them, and the datagram around gossip.
//!
//! Classes are registered by number, references are off, and objects are written field by field in
//! chunks with their field names in front, so that fields of newer releases can be passed over.
//! What is written has the very bytes that a JVM writes; what is read may be chunked in any way.

pub mod limits;

mod datagram;
mod names;
mod reader;
mod record;
mod value;
mod writer;

pub use datagram::{Datagram, preamble};
pub use record::{Host, Record, Release, Standing};
pub use value::{
    decode_boolean, decode_list, decode_pair, decode_record, encode_boolean, encode_list,
    encode_pair, encode_record,
};
