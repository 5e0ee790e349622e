//! Tells the extension what it is built with, as Cargo resolved it: `built.rs` hands it on.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The crates whose version a measurement depends on, and the variable each one's stands in.
const CRATES: [(&str, &str); 3] = [
    ("rustls", "BUILT_RUSTLS"),
    ("aws-lc-rs", "BUILT_AWS_LC_RS"),
    ("aws-lc-sys", "BUILT_AWS_LC_SYS"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let path = lock_file(Path::new(&env::var("CARGO_MANIFEST_DIR")?))?;
    let lock = fs::read_to_string(&path)?;
    for (name, variable) in CRATES {
        let version = version_of(&lock, name)
            .ok_or_else(|| format!("{}: {name} is not in it once", path.display()))?;
        println!("cargo::rustc-env={variable}={version}");
    }
    println!("cargo::rustc-env=BUILT_RUSTC={}", compiler()?);
    println!("cargo::rustc-env=BUILT_PROFILE={}", env::var("PROFILE")?);
    println!("cargo::rerun-if-changed={}", path.display());
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

/// The lock file of the workspace, which Cargo has written before it runs this.
fn lock_file(package: &Path) -> Result<PathBuf, String> {
    let found = package.ancestors().map(|folder| folder.join("Cargo.lock"));
    found
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| format!("no Cargo.lock above {}", package.display()))
}

/// The version of a crate; none where it is missing or there are two, which would leave open which
/// one is used.
fn version_of<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let heading = format!("name = \"{name}\"\nversion = \"");
    let (_, rest) = lock.split_once(&heading)?;
    let only = !rest.contains(&heading);
    only.then(|| rest.split('"').next())?
}

fn compiler() -> Result<String, Box<dyn Error>> {
    let said = Command::new(env::var("RUSTC")?).arg("--version").output()?;
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}
