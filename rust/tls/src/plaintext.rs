//! Opened bytes on their way out of rustls.

use std::io::{self, BufRead};

use rustls::Connection;

use crate::error::Error;

/// Bytes copied at once.
const COPY_BYTES: usize = 2 * 1024;

/// Moves everything that is opened behind `plain`.
pub(crate) fn take_plaintext(
    connection: &mut Connection,
    plain: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut reader = connection.reader();
    loop {
        let taken = match reader.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(chunk) => {
                append(plain, chunk);
                chunk.len()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Error::protocol(error)),
        };
        reader.consume(taken);
    }
}

/// Appends in pieces below the length from which the C library copies with one repeated string
/// instruction: on some processors that is many times slower when target and source lie less than
/// 32 bytes apart modulo a page.
fn append(plain: &mut Vec<u8>, chunk: &[u8]) {
    plain.reserve(chunk.len());
    for piece in chunk.chunks(COPY_BYTES) {
        plain.extend_from_slice(piece);
    }
}
