//! The reading of files and bytes: bounded, whole, and wiped when done.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::{SOURCE_BYTES_MAX, Source};
use crate::error::Error;

/// Permission bits of everybody but the owner and the group.
const MODE_OTHERS: u32 = 0o007;
/// Permission bits of the group.
const MODE_GROUP: u32 = 0o070;

/// What a source held.
pub(crate) struct Content {
    /// The file, or the option when its bytes were given directly.
    pub(crate) name: String,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Permission bits of the file.
    mode: Option<u32>,
}

impl Content {
    pub(crate) fn read(source: &Source, option: &str) -> Result<Self, Error> {
        let name = name(source, option);
        let (bytes, mode) = match source {
            Source::Bytes(bytes) => (Zeroizing::new(bytes.clone()), None),
            Source::Path(path) => {
                let read = read_file(path);
                let (bytes, mode) = read.map_err(|why| Error::configuration(&name, why))?;
                (bytes, Some(mode))
            }
        };
        let content = Self { name, bytes, mode };
        match content.bytes.len() {
            0 => Err(content.error("is empty")),
            1..=SOURCE_BYTES_MAX => Ok(content),
            _ => Err(content.error(format!("is larger than {SOURCE_BYTES_MAX} bytes"))),
        }
    }

    /// A configuration error about this source.
    pub(crate) fn error(&self, reason: impl Into<String>) -> Error {
        Error::configuration(&self.name, reason)
    }

    pub(crate) fn is_open_to_others(&self) -> bool {
        self.mode.is_some_and(|mode| mode & MODE_OTHERS != 0)
    }

    pub(crate) fn is_open_to_group(&self) -> bool {
        self.mode.is_some_and(|mode| mode & MODE_GROUP != 0)
    }
}

/// What to call a source in an error.
pub(crate) fn name(source: &Source, option: &str) -> String {
    match source {
        Source::Path(path) => path.display().to_string(),
        Source::Bytes(_) => option.to_owned(),
    }
}

/// A pipe would block and a device may be endless, so only regular files are opened, wherever
/// symlinks lead. A file that changed while it was read may be half old and half new.
fn read_file(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32), String> {
    let text = |error: io::Error| error.to_string();
    check_regular(&path.metadata().map_err(text)?)?;
    let mut file = File::open(path).map_err(text)?;
    let before = file.metadata().map_err(text)?;
    check_regular(&before)?;
    let bytes = read_capped(&mut file, &before).map_err(text)?;
    let after = file.metadata().map_err(text)?;
    let state = |of: &Metadata| (of.len(), of.mtime(), of.mtime_nsec());
    if state(&before) != state(&after) {
        return Err("changed while it was read; replace files by renaming new ones".to_owned());
    }
    Ok((bytes, before.mode()))
}

fn check_regular(metadata: &Metadata) -> Result<(), String> {
    match metadata {
        found if found.is_dir() => Err("is a directory, not a file".to_owned()),
        found if !found.is_file() => Err("is not a regular file".to_owned()),
        _ => Ok(()),
    }
}

/// Reads one byte past the limit at most, so that growth is noticed and not swallowed. The room is
/// made at once: a vector that grows leaves copies behind that nobody wipes.
fn read_capped(file: &mut File, metadata: &Metadata) -> io::Result<Zeroizing<Vec<u8>>> {
    let most = SOURCE_BYTES_MAX + 1;
    let expected = usize::try_from(metadata.len()).unwrap_or(most).min(most);
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected + 1));
    file.take(expected as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
