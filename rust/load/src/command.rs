//! The program `ztransport-load`.

use crate::options::{self, Command};
use crate::{drive, null, serve};

/// Runs `ztransport-load` with this process's arguments.
///
/// # Errors
/// In words, for wrong arguments and for a load that could not be run to its end.
pub fn command() -> Result<(), String> {
    match options::parse()? {
        Command::Serve(options) => serve::run(&options),
        Command::Null(options) => null::run(&options),
        Command::Drive(options) => drive::run(&options),
    }
}
